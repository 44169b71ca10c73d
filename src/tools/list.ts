import { coreutils, du, fallocate, sync } from './coreutils.ts';
import { e2fsprogs } from './e2fsprogs.ts';
import { conntrack, dhcpRelease, dnsmasq, ip, livingIp, livingNft, nft, ss } from './network.ts';
import { sfdisk } from './sfdisk.ts';
import { skopeo } from './skopeo.ts';
import { tar } from './tar.ts';
import type { Tool } from './tool.ts';
import { bzip2, lz4, xz } from './unpackers.ts';
import { setpriv } from './util-linux.ts';
import { mcopy, mkfsVfat } from './vfat.ts';

/** The programs that the daemon runs, in the order in which they are shown. A monitor's own is its provider's. */
export const TOOLS: readonly Tool[] = [
  skopeo,
  tar,
  e2fsprogs,
  sfdisk,
  mkfsVfat,
  mcopy,
  ip,
  livingIp,
  ss,
  nft,
  livingNft,
  conntrack,
  dnsmasq,
  dhcpRelease,
  setpriv,
  du,
  sync,
  coreutils,
  fallocate,
  xz,
  lz4,
  bzip2,
];
