/** What is read is no tar archive that can be taken. The message is a clause that follows a name for it: "has …", "is …". */
export class BadTar extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'BadTar';
  }
}

const MAX_SHOWN = 160;

/** A name of an archive for people: bytes, one a character, as text in one short line. */
export function show(bytes: string): string {
  const text = Buffer.from(bytes, 'latin1')
    .toString()
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029"]/gu, '?');
  return `"${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN / 2)}…${text.slice(-MAX_SHOWN / 2)}` : text}"`;
}
