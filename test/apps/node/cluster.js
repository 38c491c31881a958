// SPDX-License-Identifier: Apache-2.0

// A TLS server with two workers, for test/apps/node_cluster.py: PORT KEY CERTIFICATE. A client
// sends the length of its body (4 bytes) and the body, and gets a line of JSON and the body.
// NODE_CLUSTER_SCHED_POLICY (node's own variable) says who accepts: the primary (rr) or the workers
// (none).
'use strict';
const cluster = require('cluster'), crypto = require('crypto'), fs = require('fs'), tls = require('tls');
const [port, key, certificate] = process.argv.slice(2);

function serve(socket) {
  const chunks = [];
  let received = 0;
  socket.on('error', () => {});  // a client that goes away is its own business
  socket.on('data', (chunk) => {
    chunks.push(chunk);
    received += chunk.length;
    if (received < 4) return;
    const all = Buffer.concat(chunks), length = all.readUInt32BE(0);
    chunks.splice(0, chunks.length, all);
    if (received < 4 + length) return;
    const body = all.subarray(4, 4 + length);
    socket.write(JSON.stringify({
      pid: process.pid, length, sha256: crypto.createHash('sha256').update(body).digest('hex'),
      peer: socket.remoteAddress, protocol: socket.getProtocol() }) + '\n');
    socket.end(body);
  });
}

function primary() {
  let ending = false, left = 2;
  const listening = new Set();
  cluster.on('listening', (worker) => {
    listening.add(worker.id);
    console.log(`worker ${worker.process.pid} listens`);
    if (listening.size === 2) console.log('both listen');
  });
  cluster.on('exit', (worker, code, signal) => {
    console.log(`worker ${worker.process.pid} ended: ${signal || code}`);
    if (!ending) cluster.fork();
    else if (--left === 0) process.exit(5);
  });
  process.on('SIGTERM', () => {
    ending = true;
    cluster.disconnect();
  });
  console.log(`policy ${cluster.schedulingPolicy === cluster.SCHED_RR ? 'rr' : 'none'}`);
  cluster.fork();
  cluster.fork();
}

if (cluster.isPrimary) primary();
else {
  process.on('SIGUSR2', () => cluster.worker.disconnect());  // goes when its connections are done
  tls.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) }, serve)
      .on('tlsClientError', () => {}).listen(+port, '0.0.0.0');
}
