import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createNetns, type Netns } from './netns.ts';

/** What a VMM does for its guest's interface: carries frames between the macvtap and `eth0`. */
const RELAY = String.raw`
use strict; use Fcntl;
my ($node) = @ARGV;
sub open_tap { my ($path, $name) = @_;
  sysopen(my $f, $path, O_RDWR) or die "$path: $!";
  ioctl($f, 0x400454ca, pack('a16 s x22', $name, 0x1002)) or die "$path: $!"; # TUNSETIFF: IFF_TAP, IFF_NO_PI
  return $f }
my $outside = open_tap($node, '');
my $inside = open_tap('/dev/net/tun', 'eth0');
$| = 1; print "carries\n";
for (;;) {
  my $ready = ''; vec($ready, fileno($_), 1) = 1 for ($outside, $inside);
  select($ready, undef, undef, undef);
  for ([$outside, $inside], [$inside, $outside]) { my ($from, $to) = @$_;
    next unless vec($ready, fileno($from), 1);
    sysread($from, my $frame, 70000) or exit; syswrite($to, $frame) }
}`;

/** A machine of its own behind a macvtap, as a guest is. Its interface is `eth0`; the caller disposes of it. */
export async function plugGuest(node: string, mac: string): Promise<Netns> {
  const guest = await createNetns();
  const relay = spawn('nsenter', ['--target', String(guest.pid), '--net', '--', 'perl', '-e', RELAY, node], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = async (): Promise<void> => {
    await endOf(relay);
    await guest[Symbol.asyncDispose]();
  };
  try {
    await Promise.race([
      once(relay.stdout, 'data'),
      once(relay, 'exit').then(() => Promise.reject(new Error(`nothing is carried to ${node}`))),
    ]);
    const limits = { signal: AbortSignal.timeout(10_000), timeoutMs: 10_000 };
    await guest.run(['ip', 'link', 'set', 'eth0', 'address', mac, 'up'], limits);
  } catch (error) {
    await end();
    throw error;
  }
  return { ...guest, [Symbol.asyncDispose]: end };
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
