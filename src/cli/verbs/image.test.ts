import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { PullImageRequest } from '../../gen/flintlock/microvm/v1/images_pb.ts';

const DIGEST = `sha256:${'b'.repeat(64)}`;
const image = {
  digest: DIGEST,
  references: ['registry.test/x:v1', 'registry.test/x:v2'],
  sizeBytes: 3_145_728n,
  usedBy: ['01JDGZ0000000000000000000A'],
  goldens: [{ sizeInMb: 64, sizeBytes: 1_000n }],
};
const listed = { images: [image, { digest: DIGEST.replace('b', 'c') }], volumeCopy: 'qcow2', sizeBytes: 3_145_728n };

const daemon = (images: Parameters<typeof startFakeDaemon>[2]) => startFakeDaemon({}, {}, images);

test('ls shows each image with its names, and how copies are made', async () => {
  const { address } = await daemon({ listImages: () => ({ ...listed, maxBytes: 10n << 30n }) });
  const { exit, stdout } = await runCli(['--host', address, 'image', 'ls']);
  expect(exit).toBe(0);
  const [head, first, second, untagged, footer] = stdout.split('\n');
  expect(head).toMatch(/^IMAGE +DIGEST +SIZE +DISKS +LAST USED +USED BY$/);
  expect(first).toMatch(/^registry\.test\/x:v2 +sha256:b{12} +3\.0 MiB +64M +- +01JDGZ0000000000000000000A$/);
  expect(second).toBe('registry.test/x:v1');
  expect(untagged).toMatch(/^<no tag> +sha256:cb{11} +0 B +- +- +-$/);
  expect(footer).toMatch(/^2 images, 3\.0 MiB of at most 10\.0 GiB; volumes are qcow2 overlays/);
  const quiet = await runCli(['--host', address, 'image', 'ls', '-q']);
  expect(quiet.stdout.split('\n')[0]).toBe(DIGEST);
  const json = JSON.parse((await runCli(['--host', address, 'image', 'ls', '-o', 'json'])).stdout);
  expect(json).toMatchObject({ images: [{ digest: DIGEST, sizeBytes: '3145728' }, {}], volumeCopy: 'qcow2' });
});

test('pull tells its bytes, asks for the disk image, and ends with the image', async () => {
  const asked: PullImageRequest[] = [];
  const { address } = await daemon({
    async *pullImage(request) {
      asked.push(request);
      yield { step: 'pull', doneBytes: 1_048_576n, totalBytes: 2_097_152n };
      yield { step: 'golden', doneBytes: 2_097_152n, totalBytes: 2_097_152n };
      const lookUp = durationFromMs(34);
      yield { step: 'done', image, lookUp, remark: 'The digest last seen is used' };
    },
  });
  const pulled = await runCli(['--host', address, 'image', 'pull', 'x:v1', '--golden', '2G']);
  expect(pulled.exit).toBe(0);
  expect(asked).toMatchObject([{ reference: 'x:v1', goldenSizeInMb: 2_048 }]);
  expect(pulled.stderr).toMatch(/^x:v1: 1\.0 MiB of 2\.0 MiB, .* s\nx:v1: making the disk image, .* s\n/);
  expect(pulled.stderr).toContain('note: The digest last seen is used');
  expect(pulled.stdout).toMatch(
    /^x:v1 is here after .* s \(registry look-up 34 ms\): sha256:b{64}, 3\.0 MiB, disk images of 64 MiB\n$/,
  );
  const json = await runCli(['--host', address, 'image', 'pull', 'x:v1', '-o', 'json']);
  expect(JSON.parse(json.stdout)).toMatchObject({ digest: DIGEST });
});

test('a pull that fails, or ends without an image, is a failure', async () => {
  const { address } = await daemon({
    async *pullImage({ reference }) {
      yield { step: 'pull' };
      if (reference === 'none:v1') throw new ConnectError('Cannot find image "none:v1"', Code.NotFound);
    },
  });
  const missing = await runCli(['--host', address, 'image', 'pull', 'none:v1']);
  expect(missing).toMatchObject({ exit: 3, stderr: expect.stringContaining('Cannot find image "none:v1"') });
  // What to do next is about images, and not about microVMs.
  expect(missing.stderr).toContain('"flintlock image ls" shows the images');
  expect(missing.stderr).not.toContain('flintlock list -A');
  expect(await runCli(['--host', address, 'image', 'pull', 'x'])).toMatchObject({
    exit: 1,
    stderr: expect.stringContaining('without an image'),
  });
});

test('rm goes on after one that is in use, and says who uses it', async () => {
  const { address } = await daemon({
    removeImage: ({ image: name }) => {
      if (name === 'used:v1')
        throw new ConnectError('Cannot remove image "used:v1": it is used by microVM 01A', Code.FailedPrecondition);
      return { freedBytes: 1_048_576n };
    },
  });
  const { exit, stdout, stderr } = await runCli(['--host', address, 'image', 'rm', 'used:v1', 'free:v1']);
  expect(exit).toBe(1);
  expect(stderr).toContain('used by microVM 01A');
  expect(stdout).toBe('free:v1 is removed: 1.0 MiB are free again\n');
});

test('rm of one that is not there is no question of microVMs', async () => {
  const { address } = await daemon({
    removeImage: () => {
      throw new ConnectError(
        'Image "gone:v1" not found: "flintlock image ls" shows what is on this host',
        Code.NotFound,
      );
    },
  });
  const { exit, stderr } = await runCli(['--host', address, 'image', 'rm', 'gone:v1']);
  expect(exit).toBe(3);
  expect(stderr).toContain('"flintlock image ls"');
  expect(stderr).not.toContain('flintlock list -A');
});

test('prune tells what went', async () => {
  const { address } = await daemon({ pruneImages: () => ({ removed: [image], freedBytes: 3_145_728n }) });
  const { stdout } = await runCli(['--host', address, 'image', 'prune']);
  expect(stdout).toBe('sha256:bbbbbbbbbbbb  3.0 MiB  registry.test/x:v2\n1 removed, 3.0 MiB are free again\n');
});

test.each([[['image', 'pull', 'x', '--golden', '0']], [['image', 'pull']], [['image', 'rm']], [['image', 'burn']]])(
  '%j is wrong usage',
  async (argv) => {
    expect((await runCli(argv)).exit).toBe(2);
  },
);
