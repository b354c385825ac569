import { inspect } from 'node:util';

const say = (status, success) => console.log(status, success ? 'True' : 'False');
for (const host of ['www', 'beta']) {
  const answer = await fetch(`https://${host}.quantconnect.com/api/v2//agents/list`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ organizationId: '0123456789abcdef0123456789abcdef' }),
    signal: AbortSignal.timeout(30_000),
  });
  say(answer.status, (await answer.json()).success);
}
try {
  await fetch('https://example.com/');
  console.log('reached example.com');
} catch (error) {
  console.log(/\b403\b/.test(inspect(error)) ? '403' : error);
}
