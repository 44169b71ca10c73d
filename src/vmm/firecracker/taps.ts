import type { Run } from '../../ports/host.ts';
import type { VmmNic } from '../../ports/vmm.ts';

const OWN_MS = 10_000;

/**
 * Plugs into each tap, says whose it is, and lets it go. One that is taken is left: who opens it next is told so.
 * @see https://docs.kernel.org/networking/tuntap.html; include/uapi/linux/if_tun.h: TUNSETIFF, TUNSETOWNER
 */
const OWN = `
my ($user, @taps) = @ARGV;
for my $tap (@taps) {
  open(my $tun, "+<", "/dev/net/tun") or die "cannot open /dev/net/tun: $!\\n";
  my $request = pack("a16 s x22", $tap, 0x1002); # IFF_TAP | IFF_NO_PI
  if (!ioctl($tun, 0x400454ca, $request)) {
    next if $!{EBUSY};
    die "cannot plug into $tap: $!\\n";
  }
  ioctl($tun, 0x400454cc, $user + 0) or die "cannot give $tap to user $user: $!\\n";
}
`;

/**
 * Gives taps to a user. One without an owner may be plugged into by every user who may open /dev/net/tun, which all may: by
 * whoever has broken out of another guest, too.
 */
export async function ownTaps(nics: readonly Pick<VmmNic, 'device'>[], user: number, run: Run): Promise<void> {
  if (nics.length === 0) return;
  const limits = { signal: new AbortController().signal, timeoutMs: OWN_MS };
  await run(['perl', '-MErrno', '-e', OWN, '--', String(user), ...nics.map(({ device }) => device)], limits);
}
