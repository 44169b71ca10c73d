import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostOptions } from './daemon.ts';

/**
 * A /dev of its own with a node that is called kvm: what is there else is of the machine, as far as daemon and guests use it.
 * `mv` of a mount is allowed in a mount namespace of one's own, whose root is private.
 */
const MAKE_DEV = `
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx "$1/"
for loop in /dev/loop*; do if [ -e "$loop" ]; then cp -a "$loop" "$1/"; fi; done
mkdir "$1/net" "$1/pts" "$1/shm"
cp -a /dev/net/tun "$1/net/"
chmod 666 "$1/net/tun"
mount --bind /dev/pts "$1/pts"
mount -t tmpfs -o mode=1777 tmpfs "$1/shm"
ln -s /proc/self/fd "$1/fd"
cp -a /dev/null "$1/kvm"
chmod 666 "$1/kvm"
mount --move "$1" /dev
`;

/** Answers each provider's trial of KVM, by a part of its program, and hands everything else on. */
const PERL = String.raw`#!/bin/sh
case "$*" in
  *'ioctl($kvm, 0xAE01'*) printf 'kvm: ok\ntun: ok\n' ;;
  *'ioctl($kvm, KVM_CREATE_VM'*) echo ok ;;
  *) PATH=/usr/sbin:/usr/bin:/sbin:/bin exec perl "$@" ;;
esac
`;

/** A host on which the trials of providers find a KVM that works: for stand-ins of VMMs, which need none. */
export interface PretendedKvm {
  readonly options: Required<Pick<HostOptions, 'env' | 'ownMounts' | 'prepare'>>;
  /** That every user may enter: for programs that VMMs' users run. */
  readonly directory: string;
  remove(): void;
}

/** What was begun in a stand-in's guest is a plain process, which outlives it: it is known by where its programs are. */
function endGuests(directory: string): void {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!(pid > 1)) continue;
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
      if (environment.some((text) => text.startsWith(`PATH=${directory}/guest-programs:`)))
        process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

export function pretendKvm(): PretendedKvm {
  const directory = mkdtempSync(join(tmpdir(), 'fl-kvm-'));
  chmodSync(directory, 0o755);
  const [bin, dev] = [join(directory, 'bin'), join(directory, 'dev')];
  return {
    directory,
    remove: () => {
      endGuests(directory);
      rmSync(directory, { recursive: true, force: true });
    },
    options: {
      ownMounts: true,
      env: { PATH: `${bin}:${process.env.PATH ?? ''}` },
      prepare: async (host) => {
        await host.tool('mkdir', '-p', bin, dev);
        writeFileSync(join(bin, 'perl'), PERL);
        chmodSync(join(bin, 'perl'), 0o755);
        await host.tool('sh', '-c', MAKE_DEV, 'sh', dev);
      },
    },
  };
}
