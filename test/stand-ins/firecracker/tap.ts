import { type ChildProcess, spawn } from 'node:child_process';

/** What Firecracker does with a tap, which Node cannot: open /dev/net/tun and plug into it, by name (TUNSETIFF: tap, no_pi, vnet_hdr). */
const PLUG = `
$| = 1;
open(my $tun, "+<", "/dev/net/tun") or print("tun ", $! + 0, "\\n"), exit;
my $request = pack("a16 s x22", $ARGV[0], 0x5002);
ioctl($tun, 0x400454ca, $request) or print("tap ", $! + 0, "\\n"), exit;
print "ok\\n";
<STDIN>;
`;

/** A tap that is held open. */
export interface Plugged {
  unplug(): void;
}

/** @throws what Firecracker says of it */
export async function plugInto(name: string): Promise<Plugged> {
  if (name.length > 15) throw new Error('Invalid interface name');
  // It reads until this process is gone. Not by perl's name: the daemon's own are passed over by who counts what it left.
  const child = spawn('perl', ['-e', PLUG, name], { argv0: 'firecracker-tap', stdio: ['pipe', 'pipe', 'inherit'] });
  const [what, number] = (await firstLine(child)).split(' ');
  if (what === 'ok') return { unplug: () => void child.kill('SIGKILL') };
  const error = osError(Number(number));
  if (what === 'tun') throw new Error(`Couldn't open /dev/net/tun: ${error}`);
  throw new Error(
    `Error while creating ifreq structure: ${error}. Invalid TUN/TAP Backend provided by ${name}. Check our documentation on setting up the network devices.`,
  );
}

function firstLine(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  child.once('error', reject);
  child.once('close', () => resolve(said.trim()));
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString();
    if (said.endsWith('\n')) resolve(said.trim());
  });
  return promise;
}

const ERRORS: Readonly<Record<number, string>> = {
  1: 'Operation not permitted',
  2: 'No such file or directory',
  13: 'Permission denied',
  16: 'Device or resource busy',
  20: 'Not a directory',
  21: 'Is a directory',
  22: 'Invalid argument',
  98: 'Address in use',
};

/** As Rust says it. */
export const osError = (number: number): string => `${ERRORS[number] ?? 'Unknown error'} (os error ${number})`;
