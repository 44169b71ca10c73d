import { Fault } from '../../domain/fault.ts';
import type { Run } from '../../ports/host.ts';
import { LINUX, perlHead } from '../supervisor/perl.ts';

const { SYS_pidfd_open, SYS_pidfd_getfd } = LINUX;
const HEAD = perlHead({
  ...{ SYS_pidfd_open, SYS_pidfd_getfd },
  // include/uapi/linux/if_tun.h
  ...{ TUNSETIFF: 0x400454ca, TUNSETVNETHDRSZ: 0x400454d8, IFF_TAP: 0x0002, IFF_NO_PI: 0x1000, IFF_VNET_HDR: 0x4000 },
  // Of a virtio device from version 1 on, and of older ones with mergeable buffers, as Linux has them: virtio 1.2, section 5.1.6.
  HEADER_BYTES: 12,
});

/**
 * Plugs what a QEMU has open of a tap that was deleted into another of that name. The file is taken from the process for a
 * moment; it is the same one, and QEMU goes on reading from it. What the host could have left to the guest of each packet
 * (checksums, cutting) it does itself from then on: what they had agreed is gone with the tap.
 *
 * Arguments: process, what its command line must have in it, the tap, and all taps of that process
 * in the order in which it has opened them.
 */
export const REPLUG = `{
${HEAD}${String.raw`
my ($pid, $word, $tap, @taps) = @ARGV;
my $process = syscall SYS_pidfd_open, $pid + 0, 0;
$process >= 0 or fail "process $pid is not there: $!";
open my $line, '<', "/proc/$pid/cmdline" or fail "process $pid is not there: $!";
my $argv = do { local $/; <$line> } // '';
index($argv, $word) >= 0 or fail "process $pid is another by now";
opendir my $open, "/proc/$pid/fd" or fail "cannot look at process $pid: $!";
my (@numbers, @names);
for my $number (sort { $a <=> $b } grep { /^\d+$/ } readdir $open) {
  (readlink "/proc/$pid/fd/$number" // '') =~ /\/net\/tun$/ or next;
  open my $info, '<', "/proc/$pid/fdinfo/$number" or next;
  my ($name) = map { /^iff:[ \t]*(\S*)$/ ? $1 : () } <$info>;
  push @numbers, $number;
  push @names, $name // '';
}
@numbers == @taps or fail "it has " . @numbers . " taps open, not " . @taps;
my $at;
for (0 .. $#taps) {
  $names[$_] eq '' || $names[$_] eq $taps[$_] or fail "it has the taps @names open, not @taps";
  $at = $_ if $taps[$_] eq $tap;
}
defined $at or fail "$tap is none of its taps";
exit if $names[$at] eq $tap;
my $number = syscall SYS_pidfd_getfd, $process, $numbers[$at] + 0, 0;
$number >= 0 or fail "cannot take a file of process $pid: $!";
open my $file, '+<&=', $number or fail "cannot take a file of process $pid: $!";
my $request = pack 'a16 S x22', $tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
ioctl $file, TUNSETIFF, $request or fail "cannot open the tap $tap: $!";
my $size = pack 'i', HEADER_BYTES;
ioctl $file, TUNSETVNETHDRSZ, $size or fail "cannot set up the tap $tap: $!";
`}}`;

export interface Replugged {
  readonly pid: number;
  /** What is on its command line, and on no other's. */
  readonly mark: string;
  /** In the order in which it has opened them. */
  readonly taps: readonly string[];
  readonly tap: string;
}

const REPLUG_MS = 10_000;

/** @throws Fault with why it cannot be; the signal's reason */
export async function replug({ pid, mark, taps, tap }: Replugged, run: Run, signal: AbortSignal): Promise<void> {
  try {
    await run(['perl', '-e', REPLUG, '--', String(pid), mark, tap, ...taps], { signal, timeoutMs: REPLUG_MS });
  } catch (error) {
    const why = error instanceof Fault ? /flintlock: (.*)/.exec(error.message)?.[1] : undefined;
    if (why === undefined) throw error;
    throw new Fault('tool', `Cannot plug ${tap} in again: ${why}`, { cause: error });
  }
}
