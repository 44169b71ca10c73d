import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { typeInto } from './type-into.ts';

function makeFifo(): { readonly directory: string; readonly path: string } {
  const directory = mkdtempSync('/tmp/flt-fifo-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  execFileSync('mkfifo', [`${directory}/fifo`]);
  return { directory, path: `${directory}/fifo` };
}
/** As a VMM has it: open for writing too, so that it never ends. */
const reader = (path: string): number => openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
const read = (fd: number, bytes: number): string => {
  const buffer = Buffer.alloc(bytes);
  return buffer.subarray(0, readSync(fd, buffer)).toString();
};

test('what is typed arrives, from one after the other', async () => {
  const { path } = makeFifo();
  const fd = reader(path);
  onTestFinished(() => closeSync(fd));
  for (const word of ['one', 'two']) {
    const input = typeInto(path);
    await input.write(Buffer.from(word));
    input.close();
    await input.closed;
    expect(read(fd, 10)).toBe(word);
  }
});

test('a guest that does not read holds up who types, and nobody else', async () => {
  const { path } = makeFifo();
  const fd = reader(path);
  onTestFinished(() => closeSync(fd));
  const input = typeInto(path);
  let isTaken = false;
  const bytes = 256 << 10;
  const typed = input.write(Buffer.alloc(bytes, 'x')).then(() => {
    isTaken = true;
  });
  let seen = read(fd, 1 << 10).length;
  expect(isTaken).toBe(false);
  await expect
    .poll(() => {
      try {
        seen += read(fd, bytes).length;
      } catch {
        // nothing there now
      }
      return seen;
    })
    .toBe(bytes);
  await typed;
  input.close();
});

test('where nobody reads, is no FIFO or nothing, it is refused', async () => {
  const { path, directory } = makeFifo();
  expect(() => typeInto(path)).toThrow(/nobody reads it/);
  writeFileSync(`${directory}/file`, '');
  expect(() => typeInto(`${directory}/file`)).toThrow(/no FIFO/);
  expect(() => typeInto(`${directory}/nothing`)).toThrow(/ENOENT/);
  const fd = reader(path);
  const input = typeInto(path);
  closeSync(fd);
  await expect(input.write(Buffer.from('x'))).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('nobody reads it any more'),
  });
  await input.closed;
});
