/**
 * Node has no sockets of vsock(7): a program for the perl of every Debian (perl-base is Essential), given whole as an
 * argument, that lets whoever connects to a unix socket through to a port of one guest, as Firecracker and Cloud Hypervisor do by
 * themselves: `CONNECT PORT` and a line end, answered with `OK PORT`; from then on it is the connection, of which each half
 * ends by itself. Where nothing answers on that port it is closed without a word.
 *
 * Of each half no more is held than one read: who does not read is not read for. It says `ready` when it can be connected to.
 */
import { LINUX, perlHead } from '../supervisor/perl.ts';

/** @see include/linux/socket.h, include/uapi/asm-generic/{fcntl,socket,errno-base,errno,poll}.h */
const SOCKETS = {
  ...{ AF_VSOCK: 40, SOL_SOCKET: 1, SO_ERROR: 4, SHUT_WR: 1, F_SETFL: 4 },
  ...{ EINTR: 4, EAGAIN: 11, EINPROGRESS: 115, SYS_poll: 7, POLLIN: 1, POLLOUT: 4, POLLERR: 8, POLLHUP: 16 },
  /** Two descriptors each: 1,024 is what a process may have open where nobody has said more. */
  ...{ MOST: 480, WAITING: 64, MOST_WORDS: 64, PIECE: 65_536 },
} as const;

/** What makes a socket for a port, and says where it is to be connected. Arguments: the guest's number. */
const TO_GUEST = `
sub target {
  socket my $to, AF_VSOCK, SOCK_STREAM, 0 or fail "cannot make a socket of vsock: $!";
  # struct sockaddr_vm of linux/vm_sockets.h
  return $to, pack 'S S L L x4', AF_VSOCK, 0, $_[0], $more[0];
}
`;

/**
 * @param target - `target PORT`, in perl: a socket and an address; what it needs to know is in `@more`
 * @returns a program. Arguments: the path of the unix socket; `@more`
 */
export const relayProgram = (target = TO_GUEST): string =>
  `${perlHead({ ...LINUX, ...SOCKETS })}my ($at, @more) = @ARGV;${target}${RELAY}`;

const RELAY = String.raw`
$SIG{PIPE} = 'IGNORE';
unlink $at;
umask 0177;
socket my $door, AF_UNIX, SOCK_STREAM, 0 or fail "cannot make a socket: $!";
bind $door, pack 'S a* x', AF_UNIX, $at or fail "cannot bind $at: $!";
listen $door, WAITING or fail "cannot listen on $at: $!";
print "ready\n";

# By descriptor: [connection, side]. Side 0 has connected here, side 1 is the guest's.
my %of;
# Not yet, which is no error.
sub later { my $error = $! + 0; $error == EAGAIN || $error == EINTR }

sub take {
  my ($one, $side, $handle) = @_;
  fcntl $handle, F_SETFL, O_RDWR | O_NONBLOCK;
  $one->{at}[$side] = $handle;
  $of{fileno $handle} = [$one, $side];
}

sub leave {
  my ($one) = @_;
  $one->{is} = 'over';
  for my $handle (grep { defined } @{$one->{at}}) { delete $of{fileno $handle}; close $handle }
}

# What was read of one side goes to the other one; then its end.
sub pass_on {
  my ($one, $side) = @_;
  my $to = $one->{at}[1 - $side];
  if (length $one->{held}[$side]) {
    my $done = syswrite $to, $one->{held}[$side];
    unless (defined $done) { leave($one) unless later(); return }
    substr($one->{held}[$side], 0, $done) = '';
    return if length $one->{held}[$side];
  }
  return unless $one->{ended}[$side] && !$one->{told}[$side];
  shutdown $to, SHUT_WR;
  $one->{told}[$side] = 1;
  leave($one) if $one->{told}[1 - $side];
}

sub pass {
  my ($one, $side, $is_gone) = @_;
  my $count = sysread $one->{at}[$side], $one->{held}[$side], PIECE;
  unless (defined $count) { leave($one) unless later(); return }
  return leave($one) if $count == 0 && $is_gone;
  $one->{ended}[$side] = 1 if $count == 0;
  pass_on($one, $side);
}

sub ask {
  my ($one) = @_;
  my $count = sysread $one->{at}[0], $one->{words}, MOST_WORDS - length $one->{words}, length $one->{words};
  unless (defined $count) { leave($one) unless later(); return }
  my ($port, $rest) = $one->{words} =~ /\ACONNECT (\d{1,10})\n(.*)\z/s;
  unless (defined $port) { leave($one) if $count == 0 || length $one->{words} >= MOST_WORDS; return }
  my ($to, $address) = target($port);
  take($one, 1, $to);
  $one->{held}[0] = $rest;
  $one->{port} = $port;
  $one->{is} = 'connecting';
  return connected($one) if connect $to, $address;
  leave($one) unless $! + 0 == EINPROGRESS;
}

sub connected {
  my ($one) = @_;
  my $error = getsockopt $one->{at}[1], SOL_SOCKET, SO_ERROR;
  return leave($one) unless defined $error && unpack('i', $error) == 0;
  $one->{is} = 'open';
  $one->{held}[1] = "OK $one->{port}\n";
  pass_on($one, 1);
  pass_on($one, 0) if $one->{is} eq 'open';
}

# What is waited for; undef: nothing, not even for its going, which would be told again and again.
sub wants {
  my ($one, $side) = @_;
  return POLLIN if $one->{is} eq 'asking';
  return $side == 1 ? POLLOUT : 0 if $one->{is} eq 'connecting';
  my $events = 0;
  $events |= POLLIN if !$one->{ended}[$side] && !length $one->{held}[$side];
  $events |= POLLOUT if length $one->{held}[1 - $side];
  return $events || $one->{ended}[$side] ? $events : undef;
}

sub act {
  my ($one, $side, $wanted, $seen) = @_;
  my $is_gone = $seen & (POLLHUP | POLLERR);
  return ask($one) if $one->{is} eq 'asking';
  return $side == 1 ? connected($one) : leave($one) if $one->{is} eq 'connecting';
  if ($wanted & POLLOUT && $seen & (POLLOUT | POLLERR)) { pass_on($one, 1 - $side); return if $one->{is} eq 'over' }
  return pass($one, $side, $is_gone) if $wanted & POLLIN && $seen & (POLLIN | POLLHUP | POLLERR);
  leave($one) if $is_gone;
}

while (1) {
  my @asked = keys(%of) < 2 * MOST ? [$door, fileno $door, POLLIN] : ();
  for my $number (keys %of) {
    my $wanted = wants(@{$of{$number}});
    push @asked, [$of{$number}, $number, $wanted] if defined $wanted;
  }
  # struct pollfd
  my $polled = pack '(l s s)*', map { ($_->[1], $_->[2], 0) } @asked;
  syscall(SYS_poll, $polled, scalar @asked, -1) > 0 or next;
  my @seen = unpack '(x6 s)*', $polled;
  for my $i (0 .. $#asked) {
    my ($what, undef, $wanted) = @{$asked[$i]};
    next unless $seen[$i];
    if ($what == $door) {
      my $from;
      take({ is => 'asking', words => '', held => ['', ''], ended => [0, 0], told => [0, 0], at => [] }, 0, $from)
        if accept $from, $door;
    }
    elsif ($what->[0]{is} ne 'over') { act(@$what, $wanted, $seen[$i]) }
  }
}
`;
