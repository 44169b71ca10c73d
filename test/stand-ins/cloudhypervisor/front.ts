import { spawn } from 'node:child_process';

/**
 * What Node cannot: take connections whose messages bring descriptors (SCM_RIGHTS). It relays each connection to a socket of
 * ours, and behind the first line of a request that brought some it puts a header that tells what they are (TUNGETIFF). It holds
 * them as long as we live.
 */
const FRONT = String.raw`
use strict; use warnings; use Socket; use POSIX ();
my ($listener, $name) = @ARGV;
$SIG{PIPE} = 'IGNORE';
open my $door, '+<&=', $listener or die;
my (%peer, @held, %handle);
sub lose { my @ends = ($_[0], $peer{$_[0]}); delete @peer{@ends}; delete @handle{@ends}; close $_ for @ends }
sub receive {
  my ($from) = @_;
  my $bytes = "\0" x 65536; my $control = "\0" x 256;
  my $vector = pack 'P Q', $bytes, length $bytes;
  my $message = pack 'Q L x4 P Q P Q L x4', 0, 0, $vector, 1, $control, length $control, 0;
  my $got = syscall 47, fileno $from, $message, 0;
  return '' if $got <= 0;
  $bytes = substr $bytes, 0, $got;
  my $room = unpack 'x40 Q', $message;
  return $bytes if $room < 20;
  my ($length, $level, $type) = unpack 'Q i i', $control;
  return $bytes unless $level == 1 && $type == 1;
  my @names;
  for (unpack 'i*', substr $control, 16, $length - 16) {
    open my $tap, '+<&=', $_ or next;
    my $request = "\0" x 40;
    my ($if, $flags) = ioctl($tap, 0x800454d2, $request) ? unpack('Z16 S', $request) : ('none', 0);
    push @held, $tap; push @names, "$if/$flags";
  }
  $bytes =~ s/\r\n/"\r\nX-Descriptors: " . join(',', @names) . "\r\n"/e;
  return $bytes;
}
while (1) {
  my @all = ($door, \*STDIN, map { $handle{$_} } keys %peer);
  my $set = ''; vec($set, fileno $_, 1) = 1 for @all;
  select $set, undef, undef, undef;
  exit if vec $set, 0, 1;
  if (vec $set, fileno $door, 1) {
    if (accept my $client, $door) {
      socket my $behind, AF_UNIX, SOCK_STREAM, 0;
      connect $behind, pack_sockaddr_un("\0$name") or exit 1;
      ($peer{$client}, $peer{$behind}) = ($behind, $client);
      ($handle{$client}, $handle{$behind}) = ($client, $behind);
    }
  }
  for (grep { exists $peer{$_} } keys %peer) {
    my $one = $handle{$_} // next;
    next unless exists $peer{$one} && defined fileno $one && vec $set, fileno $one, 1;
    my $bytes = receive($one);
    if ($bytes eq '') { lose($one); next }
    for (my $at = 0; $at < length $bytes;) {
      my $done = syswrite $peer{$one}, $bytes, length($bytes) - $at, $at;
      last unless defined $done;
      $at += $done;
    }
  }
}
`;

/** @param listener - a descriptor; what comes there goes to the abstract socket of that name */
export function relay(listener: number, name: string): void {
  const child = spawn('perl', ['-e', FRONT, '3', name], {
    argv0: 'cloud-hypervisor-front', // not by perl's name, as the daemon's own are
    stdio: ['pipe', 'ignore', 'inherit', listener],
  });
  child.unref();
}
