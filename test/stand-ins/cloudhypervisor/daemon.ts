/**
 * As much of a daemon as starts one guest and types a line: to be killed. Its argument is a {@link VmmConfig} with the program, as
 * JSON; it says what process it has started.
 */
import { clock } from '../../../src/host/clock.ts';
import { converse } from '../../../src/host/converse.ts';
import { files } from '../../../src/host/files.ts';
import { createProcesses } from '../../../src/host/processes.ts';
import { run } from '../../../src/host/run.ts';
import type { VmmConfig } from '../../../src/ports/vmm.ts';
import { createCloudHypervisor } from '../../../src/vmm/cloudhypervisor/cloudhypervisor.ts';
import { Starts } from '../../../src/vmm/supervisor/starts.ts';

const { binary, line, ...config }: VmmConfig & { readonly binary: string; readonly line: string } = JSON.parse(
  process.argv[2] ?? '',
);
const silent = (): void => undefined;
const vmm = await createCloudHypervisor({
  ...{ binary, path: process.env.PATH ?? '', whose: 'test', kvm: 'trust', landlock: 'off' },
  ...{ run, converse, files, processes: createProcesses(), clock, starts: new Starts(clock) },
  log: { debug: silent, info: silent, warn: silent, error: silent },
});
const running = await vmm.start(config, AbortSignal.timeout(60_000));
const channel = await vmm.openChannel(config, 'console', AbortSignal.timeout(60_000));
await channel.write(Buffer.from(`${line}\r`));
process.stdout.write(`${JSON.stringify(running.process)}\n`);
for await (const _ of channel.read(AbortSignal.timeout(600_000))); // until it is killed
