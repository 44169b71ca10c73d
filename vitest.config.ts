import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'guest/**/*.test.ts',
            'test/support/**/*.test.ts',
            'test/rules/**/*.test.ts',
            'test/watch/**/*.test.ts',
            'test/conformance/**/*.test.ts',
            'test/soak/**/*.test.ts',
          ],
          exclude: ['**/*.host.test.ts'],
          isolate: false,
          testTimeout: 10_000,
        },
      },
      {
        // They use the host's tools, in network namespaces and directories of their own.
        test: {
          name: 'host',
          retry: process.env.CI ? 1 : 0,
          include: ['src/**/*.host.test.ts', 'guest/**/*.host.test.ts'],
          isolate: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
        },
      },
      {
        // They boot guests.
        test: {
          name: 'e2e',
          // Guests under software emulation starve on a busy machine: once more there, and the report says so.
          retry: process.env.CI ? 1 : 0,
          include: ['test/e2e/**/*.test.ts', 'test/faults/**/*.test.ts', 'test/foreign/**/*.test.ts'],
          isolate: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
