import type { Netns } from './netns.ts';

/**
 * A DNS server in a namespace, on port 53 of an address: every name has one
 * address; to a name with `dead` in it nothing is said, ever.
 */
const SERVER = `
const [address, answer] = process.argv.slice(1);
const socket = require('dgram').createSocket('udp4');
socket.on('message', (question, from) => {
  let end = 12;
  while (question[end] !== 0) end += question[end] + 1;
  if (question.subarray(12, end).includes('dead')) return;
  const isA = question.readUInt16BE(end + 1) === 1;
  const reply = Buffer.from(question.subarray(0, end + 5));
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(isA ? 1 : 0, 6);
  reply.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...answer.split('.').map(Number)]);
  socket.send(isA ? Buffer.concat([reply, record]) : reply, from.port, from.address);
});
socket.bind(53, address, () => console.log('serves'));
`;

export const nameServer = (netns: Netns, address: string, answer: string, log: string) =>
  netns.processes.start([process.execPath, '-e', SERVER, address, answer], { log });
