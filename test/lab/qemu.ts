import { spawn } from 'node:child_process';
import { PORTS, type Port, portPath, Tail } from './ports.ts';

export interface Machine {
  /** The program. */
  readonly qemu: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly memoryMb: number;
  readonly cpus: number;
  /** The rate of this machine's time stamp counter, which an emulated CPU has, too. */
  readonly tscKhz: number | undefined;
  /** A directory that is shared both ways. */
  readonly out: string | undefined;
  /** Where the sockets of its ports are. */
  readonly directory: string;
}

export const QEMU = '/usr/bin/qemu-system-x86_64';

/** A panic ends QEMU, and an oops is one. The time stamp counter is stable, which guests' clocks are set by. */
const CMDLINE = 'console=ttyS0 loglevel=7 panic=-1 oops=panic tsc=reliable clocksource=tsc';
const TAIL_BYTES = 16 << 10;

/** @returns the arguments for a host that is this machine's files and has a CPU with SVM */
export function qemuArgv({ qemu, kernel, initrd, memoryMb, cpus, tscKhz, out, directory }: Machine): readonly string[] {
  const chardev = (port: Port): string[] => [
    '-chardev',
    `socket,id=${port},path=${inOption(portPath(directory, port))}`,
  ];
  const serial = (port: Port): string[] => ['-device', `virtserialport,chardev=${port},name=${port}`];
  const share = (tag: string, path: string, how: string): string[] => [
    ...['-fsdev', `local,id=${tag},path=${inOption(path)},security_model=none,multidevs=remap${how}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
  // Measured by a host that starves, its clock may run three times as fast.
  const append = tscKhz === undefined ? CMDLINE : `${CMDLINE} tsc_early_khz=${tscKhz}`;
  return [
    qemu,
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'EPYC,+svm,+npt'],
    ...['-smp', String(cpus), '-m', String(memoryMb)],
    ...['-kernel', kernel, '-initrd', initrd, '-append', append],
    ...PORTS.flatMap(chardev),
    ...['-serial', 'chardev:console', '-device', 'virtio-serial-pci'],
    ...['status', 'stdout', 'stderr'].flatMap((port) => serial(port as Port)),
    ...['-device', 'virtio-rng-pci'],
    ...share('below', '/', ',readonly=on'),
    ...(out === undefined ? [] : share('out', out, '')),
  ];
}

/** A comma in a value is written twice. */
const inOption = (path: string): string => path.replaceAll(',', ',,');

export interface Qemu {
  /** Resolves with how it ended, in words. */
  readonly ended: Promise<string>;
  /** Kills it, and waits for that. */
  end(): Promise<void>;
}

/** Starts a QEMU that ends with us, however we end. */
export function startQemu(argv: readonly string[]): Qemu {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = new Tail(TAIL_BYTES);
  child.stderr.on('data', (data: Buffer) => said.add(data));
  const ended = new Promise<string>((resolve) => {
    child.once('error', (cause) => resolve(`QEMU cannot be started: ${cause.message}`));
    child.once('close', (code, signal) => {
      if (code === 0) return resolve('it ended');
      // Of each feature of the CPU that it does not emulate.
      const words = said.text.split('\n').filter((line) => line !== '' && !line.includes("TCG doesn't support"));
      resolve([`its QEMU ended with ${signal ?? `status ${code}`}`, ...words].join('\n'));
    });
  });
  return {
    ended,
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
