import { fstatSync, readSync, writeSync } from 'node:fs';
import type { Booted, Guest } from './machine.ts';

/** The word of the command line by which a test asks for a guest that does more than stand there: `stand-in=reboot`. */
export const wordIn = (cmdline: string): string => /(?:^| )stand-in=(\S+)/.exec(cmdline)?.[1] ?? '';

/** What its machine is told of it. */
export interface Ends {
  powerOff(): void;
  reset(): void;
  /** By the panic device. */
  panic(event: 'panic' | 'crash_loaded'): void;
  die(): void;
}

const SECTOR = 512;
/** A megabyte, 64 bytes each. */
const LINES = 16_384;
/** As slow as a serial port, a little: so that somebody can be killed meanwhile. */
const PAUSE_MS = 4;
/** How often one reboots that was told to once, so that it does so once. */
let boots = 0;

/**
 * A guest that there is none of: it says what its machine is, writes to the disks that it may write to, echoes what it hears,
 * and ends as it is told, by a word of its command line or by a line typed.
 */
export function beGuest(booted: Booted, ends: Ends): Guest {
  let isOver = false;
  let held = '';
  let isPaused = false;
  const say = (text: string): void => {
    if (isPaused) held += text;
    else if (booted.speaks) writeSync(1, text);
  };
  const { cpus, megabytes, cmdline, disks, nets } = booted;
  const word = wordIn(cmdline);
  let typed = '';
  const panic = (event: 'panic' | 'crash_loaded'): void => {
    say('[    1.000000] Kernel panic - not syncing: sysrq triggered crash\r\n');
    if (booted.pvpanic) ends.panic(event);
    if (/(^| )panic=-1/.test(cmdline)) setImmediate(() => ends.reset());
  };
  /** Some at a time. */
  const write = (from: number): void => {
    const to = Math.min(from + 32, LINES);
    for (let i = from; i < to; i++) say(`${String(i).padStart(62, '.')}\r\n`);
    if (to < LINES && !isOver) setTimeout(write, PAUSE_MS, to);
  };
  const act = (what: string): void => {
    if (isOver) return;
    if (what === 'reboot') ends.reset();
    else if (what === 'poweroff') ends.powerOff();
    else if (what === 'panic') panic('panic');
    else if (what === 'dump') panic('crash_loaded');
    else if (what === 'die') ends.die();
    else if (what === 'megabyte') write(0);
  };
  const hear = (bytes: Buffer): void => {
    const text = bytes.toString('latin1').replaceAll('\n', '\r');
    say(Buffer.from(text, 'latin1').toString().replaceAll('\r', '\r\n'));
    const lines = (typed + text).split('\r');
    typed = lines.pop() ?? '';
    for (const line of lines) setImmediate(() => act(line));
  };
  boots++;
  // What it does comes after the answer to who booted it.
  setImmediate(() => {
    if (isOver) return;
    say(`Command line: ${cmdline}\r\n`);
    disks.forEach(({ fd, readonly, serial, image_type: type, overlay, below }, i) => {
      const sector = Buffer.alloc(SECTOR);
      // Nothing was written to an overlay: that takes more than a stand-in does.
      readSync(below ?? fd, sector, 0, SECTOR, 0);
      const first = sector.subarray(0, 8).toString('latin1').replaceAll('\0', '.');
      if (!readonly && !overlay) writeSync(fd, 'written by the guest', SECTOR);
      const sectors = Math.floor((overlay?.sizeBytes ?? fstatSync(fd).size) / SECTOR);
      say(
        `disk vd${String.fromCharCode(97 + i)} ro=${readonly ? 1 : 0} sectors=${sectors} first=${first} serial=${serial} type=${type}\r\n`,
      );
    });
    for (const [i, { mac, device }] of nets.entries()) say(`nic eth${i} mac=${mac} device=${device}\r\n`);
    say(`stand-in: up cpus=${cpus} mib=${megabytes} boot=${boots}\r\n`);
    if (boots === 1 || word === 'loop') act(word === 'loop' ? 'reboot' : word);
  });
  process.stdin.on('data', hear);
  return {
    pressPower() {
      if (word !== 'deaf') setImmediate(() => act('poweroff'));
    },
    pause() {
      isPaused = true;
    },
    resume() {
      isPaused = false;
      const text = held;
      held = '';
      say(text);
    },
    end() {
      isOver = true;
      process.stdin.off('data', hear);
    },
  };
}
