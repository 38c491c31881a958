// SPDX-License-Identifier: Apache-2.0

// What node's net module promises, over its own loopback, for test/apps/node_cluster.py. Prints
// JSON that is the same wherever it runs. Without an argument, all of it; "child" is the process
// that gets handles.
'use strict';
const child_process = require('child_process'), crypto = require('crypto'), net = require('net');
const { once } = require('events'), { setTimeout: sleep } = require('timers/promises');

const sum = (data) => crypto.createHash('sha256').update(data).digest('hex');
const body = crypto.createHash('shake256', { outputLength: 5000000 }).update('mino').digest();

function everything(socket) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
  });
}

async function listen(options, serve) {
  const server = net.createServer(options, serve).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function connect(server, options = {}) {
  const socket = net.connect({ port: server.address().port, host: '127.0.0.1', ...options });
  await once(socket, 'connect');
  return socket;
}

async function refused(port) {
  try {
    await once(net.connect(port, '127.0.0.1'), 'connect');
  } catch (error) {
    return error.code;
  }
  return 'accepted';
}

// Each side ends its direction first, once; the other side goes on sending.
async function halfOpen() {
  const seen = {};
  let server = await listen({ allowHalfOpen: true }, async (socket) => {
    const all = await everything(socket);
    seen.serverAfterEnd = [all.length, sum(all), socket.readyState];
    socket.write('first ');
    await sleep(50);
    socket.end('second');
  });
  let client = await connect(server);
  client.end(body);
  seen.client = String(await everything(client));
  server.close();

  server = await listen({}, (socket) => {
    socket.end('bye');
    everything(socket).then((all) => { seen.serverAfterOwnEnd = [all.length, sum(all)]; });
    socket.on('close', (hadError) => { seen.closedWithError = hadError; });
  });
  client = await connect(server, { allowHalfOpen: true });
  client.resume();
  await once(client, 'end');
  seen.clientState = client.readyState;
  client.end(body);
  await once(client, 'close');
  server.close();
  await once(server, 'close');
  return seen;
}

// A paused socket takes no more bytes, so the sender's buffer fills. Everything arrives once it
// resumes.
async function pauseResume() {
  const seen = { pauses: 0, grewWhilePaused: 0, heldBack: false };
  let sender;
  const received = new Promise((resolve) => {
    listen({}, (socket) => {
      const chunks = [];
      let next = 0, paused = false;
      socket.on('data', async (chunk) => {
        chunks.push(chunk);
        if (paused || socket.bytesRead < next) return;
        next += 1000000;
        paused = true;
        socket.pause();
        seen.pauses += 1;
        await sleep(10);  // what was under way may still arrive
        const before = socket.bytesRead;
        await sleep(60);
        paused = false;
        seen.grewWhilePaused += socket.bytesRead - before;
        seen.heldBack ||= sender.writableLength > 0;
        socket.resume();
      });
      socket.on('end', () => resolve(Buffer.concat(chunks)));
    }).then(async (server) => {
      sender = await connect(server);
      let drains = 0;
      sender.on('drain', () => { drains += 1; });
      for (let at = 0; at < body.length; at += 100000) {
        if (!sender.write(body.subarray(at, at + 100000))) await once(sender, 'drain');
      }
      sender.end();
      seen.drained = drains > 0;
      server.close();
    });
  });
  const all = await received;
  seen.pauses = seen.pauses >= 5;
  seen.equal = all.equals(body);
  return seen;
}

// close() refuses new connections at once, and completes when the last open one has ended.
async function closeWithOpen() {
  const order = [], sockets = [];
  const server = await listen({}, (socket) => { sockets.push(socket); socket.pipe(socket); });
  const port = server.address().port;
  const clients = [await connect(server), await connect(server)];
  while (sockets.length < 2) await sleep(5);
  const closed = new Promise((resolve) => server.close(() => { order.push('closed'); resolve(); }));
  order.push(await refused(port));
  clients[0].end('one');
  order.push(String(await everything(clients[0])));
  order.push(await new Promise((resolve) => server.getConnections((_, n) => resolve(n))));
  clients[1].write('two');
  order.push(String((await once(clients[1], 'data'))[0]));
  const gone = once(clients[1].resume(), 'close');
  order.push(server.listening);
  sockets[1].destroy();
  await Promise.all([closed, gone]);
  // The port is free again.
  const next = net.createServer().listen(port, '127.0.0.1');
  await once(next, 'listening');
  next.close();
  return order;
}

// A reset, a refused connection, and a time-out, each by its name.
async function errors() {
  const seen = {};
  const server = await listen({}, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  const client = await connect(server);
  client.write('x');
  seen.reset = (await once(client, 'error').then(([error]) => error, (error) => error)).code;
  const idle = await connect(server);
  idle.setTimeout(50);
  await once(idle, 'timeout');
  seen.idle = idle.readyState;
  idle.destroy();
  const port = server.address().port;
  server.close();
  await once(server, 'close');
  seen.refused = await refused(port);
  return seen;
}

// Connections, and then the listening server itself, are passed to a child by subprocess.send.
async function handles() {
  const child = child_process.fork(__filename, ['child']);
  const answers = [];
  let server = await listen({ pauseOnConnect: true }, (socket) => child.send('socket', socket));
  for (let i = 0; i < 20; i++) {
    const client = await connect(server);
    client.end(body.subarray(0, 1000 * i));
    const answer = JSON.parse(await everything(client));
    answers.push(answer.by === child.pid && answer.sum === sum(body.subarray(0, 1000 * i)));
  }
  server.close();
  await once(server, 'close');

  server = await listen({}, () => answers.push('the parent accepted'));
  const { port } = server.address();
  child.send('server', server);
  await once(child, 'message');
  server.close();  // the child's is another descriptor of the same socket
  for (let i = 0; i < 5; i++) {
    const client = net.connect(port, '127.0.0.1').end('to the child');
    const answer = JSON.parse(await everything(client));
    answers.push(answer.by === child.pid && answer.sum === sum('to the child'));
  }
  child.send('end');
  const [code] = await once(child, 'exit');
  return { right: answers.filter((answer) => answer === true).length, of: answers.length, code,
           after: await refused(port) };
}

function child() {
  let server;
  const answer = async (socket) => {
    const all = await everything(socket);
    socket.end(JSON.stringify({ by: process.pid, sum: sum(all) }));
  };
  process.on('message', (message, handle) => {
    if (message === 'socket') {
      handle.allowHalfOpen = true;
      answer(handle);
    } else if (message === 'server') {
      server = net.createServer({ allowHalfOpen: true }, answer).listen(handle);
      process.send('has it');
    } else {
      server.close();
      process.disconnect();
      process.exitCode = 4;
    }
  });
}

async function main() {
  const result = {};
  for (const part of [halfOpen, pauseResume, closeWithOpen, errors, handles]) {
    result[part.name] = await part();
  }
  console.log(JSON.stringify(result));
}

if (process.argv[2] === 'child') child();
else main().catch((error) => { console.error(error); process.exit(1); });
