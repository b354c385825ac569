'use strict';
// Written by `qcmock run --intercept`: the connections of node:http and node:https go through the proxy at proxyPort,
// whatever their host, and so do those of fetch. Where Node has proxy support of its own (from 22.21 and 24.5), that does it
// for fetch and for the agents that it knows of, but not for agents that a program makes. What opens connections by other
// means (node:net, node:tls, node:http2, agents that override createConnection, dispatchers of the package undici) is left
// alone.
(() => {
  const http = require('node:http');
  const https = require('node:https');
  const net = require('node:net');
  const tls = require('node:tls');

  // tunnel calls back with a connection to a host, made by the proxy.
  const tunnel = (host, port, callback) => {
    const target = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
    const request = http.request({
      method: 'CONNECT', path: target, headers: { host: target },
      createConnection: () => net.connect({ host: '127.0.0.1', port: proxyPort }),
    });
    request.once('error', callback);
    request.once('connect', (response, socket, head) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        callback(new Error(`qcmock run refused ${target}: ${response.statusCode} ${response.statusMessage}`));
        return;
      }
      if (head.length > 0) socket.unshift(head);
      callback(null, socket);
    });
    request.end();
  };
  const isProxy = (options) => Number(options.port) === proxyPort && options.host === '127.0.0.1';
  const goesByItself = (agent) => agent.options?.proxyEnv !== undefined;

  const plain = http.Agent.prototype.createConnection;
  http.Agent.prototype.createConnection = function createConnection(options, callback) {
    if (options.socketPath || isProxy(options) || goesByItself(this)) return plain.call(this, options, callback);
    tunnel(options.host || 'localhost', options.port || 80, callback);
  };
  const secure = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function createConnection(options, callback) {
    if (options.socketPath || options.socket || isProxy(options) || goesByItself(this)) return secure.call(this, options, callback);
    tunnel(options.host || 'localhost', options.port || 443, (error, socket) => {
      if (error) callback(error);
      else callback(null, secure.call(this, { ...options, socket }));
    });
  };

  // Node's fetch takes its connections from an agent that is found under this name, once one of its classes was touched.
  if (process.allowedNodeEnvironmentFlags.has('--use-env-proxy') || typeof globalThis.Response !== 'function') return;
  const dispatcher = Symbol.for('undici.globalDispatcher.1');
  const Agent = globalThis[dispatcher]?.constructor;
  if (!Agent) return;
  globalThis[dispatcher] = new Agent({
    connect: ({ hostname, protocol, port, servername }, callback) => {
      const encrypted = protocol === 'https:';
      const host = hostname.replace(/^\[|\]$/g, '');
      tunnel(host, port || (encrypted ? 443 : 80), (error, socket) => {
        if (error) return callback(error);
        socket.setNoDelay(true);
        if (!encrypted) return callback(null, socket);
        const wrapped = tls.connect({ socket, servername: servername || (net.isIP(host) ? undefined : host), ALPNProtocols: ['http/1.1'] });
        wrapped.once('error', callback);
        wrapped.once('secureConnect', () => {
          wrapped.removeListener('error', callback);
          callback(null, wrapped);
        });
      });
    },
  });
})();
