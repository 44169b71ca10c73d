/** The messages that the probe sends and understands: no more of each protocol than it needs. */

const MAGIC = 0x63825363;

/** A DHCPDISCOVER that asks for an answer to all. @see RFC 2131, 2; RFC 2132 */
export function discover(mac: string, transaction: number): Buffer {
  const message = Buffer.alloc(300);
  message.set([1, 1, 6, 0]); // a request, Ethernet, six bytes of address, no hops
  message.writeUInt32BE(transaction >>> 0, 4);
  message.writeUInt16BE(0x8000, 10); // answer to all: there is no address yet
  Buffer.from(mac.replaceAll(':', ''), 'hex').copy(message, 28);
  message.writeUInt32BE(MAGIC, 236);
  message.set([53, 1, 1, 55, 3, 1, 3, 6, 255], 240); // discover; subnet, router and DNS server are wanted
  return message;
}

/** The address of a DHCPOFFER of this transaction; undefined: it is something else. */
export function offerFor(message: Buffer, transaction: number): string | undefined {
  if (message.length < 244 || message[0] !== 2 || message.readUInt32BE(4) !== transaction >>> 0) return undefined;
  if (message.readUInt32BE(236) !== MAGIC) return undefined;
  for (let at = 240; at + 1 < message.length && message[at] !== 255; ) {
    if (message[at] === 0) {
      at++;
      continue;
    }
    const length = message[at + 1] ?? 0;
    if (message[at] === 53 && message[at + 2] === 2) return [...message.subarray(16, 20)].join('.');
    at += 2 + length;
  }
  return undefined;
}

/** A question for a name's IPv4 address. @see RFC 1035, 4.1 */
export function query(name: string, id: number): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2); // recursion is desired
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** What the server answers to this question: 0 is success, 3 no such name, 5 refused; undefined: it is no answer to it. */
export function answerCode(message: Buffer, id: number): number | undefined {
  if (message.length < 12 || message.readUInt16BE(0) !== id || ((message[2] ?? 0) & 0x80) === 0) return undefined;
  return (message[3] ?? 0) & 0x0f;
}
