import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startApi } from '../../test/support/api.ts';
import { SAMPLE_UID } from '../../test/support/fake-services.ts';
import { GuestFileType } from '../gen/flintlock/microvm/v1/guest_files_pb.ts';
import { GuestService } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { FileChange, FileContent, FileWriting } from '../ports/guest-files.ts';
import type { Services } from '../service/services.ts';

const place = { uid: SAMPLE_UID, path: Buffer.from('/var/x') };

async function client(services?: Partial<Services>) {
  return (await startApi(services)).client(GuestService);
}

async function* these<T>(...messages: T[]): AsyncGenerator<T> {
  yield* messages;
}

type Written =
  Parameters<Awaited<ReturnType<typeof client>>['writeFile']>[0] extends AsyncIterable<infer M> ? M : never;
const start = (more: object = {}): Written => ({ payload: { case: 'start', value: { place, ...more } } });
const data = (text: string): Written => ({ payload: { case: 'data', value: Buffer.from(text) } });
const end: Written = { payload: { case: 'end', value: true } };

test('a file is looked at, listed and read', async () => {
  const guests = await client();
  const { file } = await guests.statFile({ place });
  expect(file).toMatchObject({
    ...{ type: GuestFileType.REGULAR, mode: 0o640, owner: { uid: 1_000, gid: 100 }, size: 4_103n },
    ...{ modifiedAt: { seconds: 1_700_000_000n, nanos: 5 }, inode: 42n, name: new Uint8Array(Buffer.from('x')) },
  });
  for await (const { files } of guests.listFiles({ place }))
    expect(files.map(({ name }) => Buffer.from(name).toString())).toEqual(['a', 'b']);
  const cases: unknown[] = [];
  for await (const { payload } of guests.readFile({ place, offset: 3n })) cases.push(payload.case);
  expect(cases).toEqual(['file', 'data', 'hole', 'end']);
});

test('a file is written: what is to be, then its content, then that it is whole', async () => {
  const asked: FileWriting[] = [];
  const came: FileContent[] = [];
  const guests = await client({
    writeFile: async ({ writing }, content) => {
      asked.push(writing);
      for await (const one of content) came.push(one);
      return 7n;
    },
  });
  const attributes = { mode: 0o4755, owner: { uid: 1, gid: 2 }, modifiedAt: { seconds: 3n, nanos: 4 } };
  const hole: Written = { payload: { case: 'hole', value: 9n } };
  expect(await guests.writeFile(these(start({ attributes, inPlaceFrom: 0n }), data('ab'), hole, end))).toMatchObject({
    bytes: 7n,
  });
  expect(asked).toEqual([
    {
      path: new Uint8Array(Buffer.from('/var/x')),
      mode: 0o4755,
      owner: { uid: 1, gid: 2 },
      modified: { seconds: 3n, nanos: 4 },
      inPlaceFrom: 0n,
    },
  ]);
  expect(came).toEqual([
    { is: 'data', data: new Uint8Array(Buffer.from('ab')) },
    { is: 'hole', bytes: 9n },
  ]);
});

test('without its end a file is not whole', async () => {
  const guests = await client();
  for (const [messages, field] of [
    [[start(), data('ab')], 'end'],
    [[data('ab'), end], 'start'],
    [[], 'start'],
    [[start(), start(), end], 'start'],
    [[start(), { payload: { case: 'hole', value: 2n ** 63n } } as Written, end], 'hole'],
  ] as const)
    await expect(guests.writeFile(these(...messages))).rejects.toMatchObject({
      ...{ code: Code.InvalidArgument, rawMessage: expect.stringContaining(`${field}: `) },
    });
});

test('each change is handed on as what it is', async () => {
  const asked: FileChange[] = [];
  const guests = await client({
    changeFile: async ({ change }) => void asked.push(change),
  });
  const at = { path: Buffer.from('/var/x') };
  await guests.removeFile({ place, recursive: true });
  await guests.renameFile({ place, newPath: Buffer.from('/y') });
  await guests.makeDirectory({ place: { ...place, below: Buffer.from('z') }, parents: true });
  await guests.makeLink({ place, kind: { case: 'symbolicTo', value: Buffer.from('t') } });
  await guests.makeLink({ place, kind: { case: 'hardTo', value: Buffer.from('t') } });
  await guests.makeNode({ place, type: GuestFileType.FIFO, attributes: { mode: 0 } });
  await guests.makeNode({ place, type: GuestFileType.BLOCK_DEVICE, major: 8, minor: 1 });
  await guests.setFile({ place, attributes: { mode: 1 } });
  expect(asked).toEqual([
    { is: 'remove', ...at, recursive: true },
    { is: 'rename', ...at, to: Buffer.from('/y') },
    { is: 'make directory', ...at, below: Buffer.from('z'), parents: true },
    { is: 'make symlink', ...at, target: Buffer.from('t') },
    { is: 'make link', ...at, to: Buffer.from('t') },
    { is: 'make fifo', ...at, mode: 0 },
    { is: 'make device', ...at, type: 'block', major: 8, minor: 1 },
    { is: 'set', ...at, mode: 1 },
  ]);
});

test('what can be no place, attribute or kind is refused by its name', async () => {
  const guests = await client();
  const path = (text: string) => ({ place: { ...place, path: Buffer.from(text) } });
  for (const [call, field] of [
    [guests.statFile({}), 'place.uid'],
    [guests.statFile(path('relative')), 'place.path'],
    [guests.statFile(path('/a\0b')), 'place.path'],
    [guests.statFile({ place: { ...place, below: Buffer.from('b'), follow: true } }), 'place.follow'],
    [guests.renameFile({ place, newPath: Buffer.from('y') }), 'new_path'],
    [guests.makeLink({ place }), 'kind'],
    [guests.makeNode({ place, type: GuestFileType.SOCKET }), 'type'],
    [guests.setFile({ place, attributes: { mode: 0o10000 } }), 'attributes.mode'],
  ] as const)
    await expect(call).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringContaining(`${field}: `),
    });
  await expect(guests.statFile({ place: { ...place, uid: '01J000000000000000000000ZZ' } })).rejects.toMatchObject({
    code: Code.NotFound,
  });
});

test('extended attributes are told where they are asked for, and how many of those given were not taken', async () => {
  const extended = [{ name: Buffer.from('user.a'), value: Buffer.from('1') }];
  const attributes = { extendedAttributes: extended };
  const guests = await client({
    changeFile: async ({ change }) => {
      if (change.is === 'set') change.onExtendedLost?.(change.extended?.length ?? 0);
    },
    writeFile: async ({ writing }) => {
      writing.onExtendedLost?.(2);
      return 0n;
    },
  });
  expect((await guests.setFile({ place, attributes })).extendedAttributesLost).toBe(1);
  expect((await guests.writeFile(these(start({ attributes }), end))).extendedAttributesLost).toBe(2);
  expect((await guests.writeFile(these(start(), end))).extendedAttributesLost).toBe(0);
  const large = { extendedAttributes: [{ name: Buffer.from('user.a'), value: Buffer.alloc(64 << 10) }] };
  await expect(guests.setFile({ place, attributes: large })).rejects.toMatchObject({ code: Code.InvalidArgument });
});
