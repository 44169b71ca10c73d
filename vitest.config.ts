import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Not by the system's Node: it runs what it can and loses the rest, failures among it.
const OLDEST = 26;
if (Number(process.versions.node.split('.')[0]) < OLDEST)
  throw new Error(
    `The tests run on the Node of the lockfile, not on ${process.version}: npm run unit|host|e2e -- [FILE …]`,
  );

/** As in scripts/steps.mjs. */
const patience = Math.min(Math.max(Number(process.env.FLINTLOCK_PATIENCE) || 1, 1), 100);

/** Vitest's own second is too short on a busy host. */
const expect = { poll: { timeout: 20_000 * patience } };

/**
 * Those that take longest, longest first. One that is begun last has the machine for itself, and leaves the rest of it idle; and
 * where nothing has run yet, vitest begins with the largest files.
 */
const LONGEST = [
  ...['e2e/contract', 'e2e/agents', 'faults/sample', 'e2e/forward', 'e2e/cgroup2', 'e2e/life', 'e2e/ends', 'e2e/docs'],
  ...['e2e/scripts', 'e2e/run', 'e2e/kill', 'e2e/dropin', 'guest/supplied.e2e', 'e2e/network', 'e2e/kernels', 'e2e/cp'],
  ...['e2e/fields/cloud-init', 'e2e/exec', 'e2e/ssh', 'e2e/lab'],
].map((name) => `/${name}.test.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    if (files.every((file) => this.ctx.cache.getTestSpecificationResult(file))) return sorted;
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return found < 0 ? LONGEST.length : found;
    };
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          expect,
          include: [
            'src/**/*.test.ts',
            'guest/**/*.test.ts',
            'bench/**/*.test.ts',
            'test/support/**/*.test.ts',
            'test/rules/**/*.test.ts',
            'test/watch/**/*.test.ts',
            'test/conformance/**/*.test.ts',
            'test/soak/**/*.test.ts',
            'test/{lab,kvm}/**/*.test.ts',
          ],
          exclude: ['**/*.{host,e2e}.test.ts'],
          isolate: false,
          testTimeout: 30_000 * patience,
          // Some wait: for sockets to close, for limits of time.
          maxWorkers: 3,
        },
      },
      {
        // They use the host's tools, in network namespaces and directories of their own.
        test: {
          name: 'host',
          expect,
          retry: process.env.CI ? 1 : 0,
          include: [
            'src/**/*.host.test.ts',
            'guest/**/*.host.test.ts',
            'bench/**/*.host.test.ts',
            'test/**/*.host.test.ts',
          ],
          isolate: false,
          testTimeout: 180_000 * patience,
          hookTimeout: 180_000 * patience,
          // They wait more than they work: for leases, limits of time, programs that end.
          maxWorkers: 3,
        },
      },
      {
        // They boot guests.
        test: {
          name: 'e2e',
          expect,
          // Guests under software emulation starve on a busy machine: once more there, and the report says so.
          retry: process.env.CI ? 1 : 0,
          include: [
            'test/e2e/**/*.test.ts',
            'test/faults/**/*.test.ts',
            'test/foreign/**/*.test.ts',
            'guest/**/*.e2e.test.ts',
          ],
          isolate: false,
          testTimeout: 300_000 * patience,
          hookTimeout: 300_000 * patience,
          // Beside two that wait for a guest, or for a time, a third has the processor.
          maxWorkers: 3,
        },
      },
    ],
  },
});
