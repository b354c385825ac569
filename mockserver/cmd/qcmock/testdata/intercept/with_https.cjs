const https = require('https');
const { inspect } = require('util');

const post = (host, agent) => new Promise((resolve, reject) => {
  const request = https.request(`https://${host}.quantconnect.com/api/v2//agents/list`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, agent,
  }, (answer) => {
    let text = '';
    answer.on('data', (chunk) => { text += chunk; });
    answer.on('end', () => {
      console.log(answer.statusCode, JSON.parse(text).success ? 'True' : 'False');
      resolve();
    });
  });
  request.on('error', reject);
  request.end(JSON.stringify({ organizationId: '0123456789abcdef0123456789abcdef' }));
});

post('www').then(() => post('beta', new https.Agent({ keepAlive: false }))).then(() => {
  https.get('https://example.com/', { agent: new https.Agent() }, () => console.log('reached example.com'))
    .on('error', (error) => console.log(/\b403\b/.test(inspect(error)) ? '403' : error));
});
