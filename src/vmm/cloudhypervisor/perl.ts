/**
 * What only a system call can do that Node has not: programs for the perl of every Debian (perl-base is Essential). Each is
 * given whole as an argument, and uses nothing that perl-base lacks.
 */
import { LINUX, PERL_BECOME, perlHead } from '../supervisor/perl.ts';

/** @see include/uapi/asm-generic/ioctls.h, include/uapi/linux/if_tun.h, include/uapi/linux/kvm.h */
const IOCTLS = {
  ...{ TCGETS: 0x5401, TCSETS: 0x5402, TIOCGPTN: 0x80045430, TIOCSPTLCK: 0x40045431, TIOCGPTPEER: 0x5441 },
  ...{ TUNSETIFF: 0x400454ca, IFF_TAP: 0x0002, IFF_NO_PI: 0x1000, IFF_VNET_HDR: 0x4000 },
  ...{ KVM_GET_API_VERSION: 0xae00, KVM_CREATE_VM: 0xae01 },
} as const;

const HEAD = `${perlHead({ ...LINUX, ...IOCTLS })}${PERL_BECOME}
# The group by which /dev/kvm may be opened.
sub kvm_groups { my @at = stat '/dev/kvm' or return (); return $at[2] & 0060 && $at[5] != 0 ? ($at[5]) : () }
sub address { pack 'S a* x', AF_UNIX, $_[0] }
`;

/**
 * Becomes a Cloud Hypervisor that may open nothing of the host's. Opens what it is to have as root, gives its own files to
 * its user, lets the user read the shared ones, and changes to that user before it becomes the program.
 *
 * An overlay of qcow2 names the file below it by a path that its user may not pass: in its header that name becomes the one of
 * the descriptor, filled up with slashes to the length that it had, which no other part of the header depends on. Who repairs an
 * overlay after its end by a signal, as Cloud Hypervisor does, forgets what its base is: that is said again, so that nothing is probed.
 *
 * Arguments: user, state directory, console's file, events' file, control socket; then files, `w` (its own) or `r` before
 * each path, overlays that are its own, `q` before each path and behind it the name of what is below, and directories that it makes
 * and that are its own, `d` before each; `--`; the program and its arguments.
 */
export const STARTER = `${HEAD}${String.raw`
my ($user, $directory, $console, $events, $api) = splice @ARGV, 0, 5;
my @files;
while (defined(my $one = shift @ARGV)) { last if $one eq '--'; push @files, [$one, splice @ARGV, 0, $one eq 'q' ? 2 : 1] }
sub lay {
  my ($path, $below) = @_;
  my $bad = sub { fail "$path is no overlay of qcow2 with a name for what is below it: $_[0]" };
  sysopen my $file, $path, O_RDWR or fail "cannot open $path: $!";
  my $head = '';
  sysread $file, $head, 65536;
  my ($magic, $version, $at, $length) = unpack 'a4 N Q> N', $head . "\0" x 104;
  my ($from) = unpack 'x100 N', $head . "\0" x 104;
  $magic eq "QFI\xfb" && $version == 3 && $from == 104 or $bad->('it does not begin as one');
  # The extension that says what the base is, and the last of them.
  my $said = pack 'N N a8 N N', 0xe2792aca, 3, 'raw', 0, 0;
  $at == $from + length $said && $length >= length $below && $at + $length <= length $head or $bad->("$length bytes at $at");
  my $words = $said . '/' x ($length - length $below) . $below;
  return if substr($head, $from, length $words) eq $words;
  sysseek $file, $from, 0 and syswrite($file, $words) == length $words or fail "cannot write to $path: $!";
}
sub place { my ($handle, $at) = @_; syscall(SYS_dup2, fileno $handle, $at) >= 0 or fail "cannot place descriptor $at: $!"; close $handle }

sysopen my $dir, $directory, O_RDONLY | O_DIRECTORY or fail "cannot open $directory: $!";
chown -1, $user, $dir and chmod 0710, $dir or fail "cannot let user $user into $directory: $!";
place($dir, 20);

sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY or fail "cannot open /dev/ptmx: $!";
my $lock = pack 'i', 0;
ioctl $master, TIOCSPTLCK, $lock or fail "cannot unlock a terminal: $!";
my $slave = ioctl $master, TIOCGPTPEER, O_RDWR | O_NOCTTY or fail "cannot open a terminal: $!";
my $mode = "\0" x 64;
open my $terminal, '+<&=', $slave + 0 or fail "cannot open a terminal: $!";
ioctl $terminal, TCGETS, $mode or fail "cannot ask a terminal: $!";
# Raw: as cfmakeraw(3) does it. Words for input, output, control, local; the discipline; MIN and TIME are the 6th and 5th of cc.
my @flags = unpack 'L4', $mode;
$flags[0] &= ~02753; $flags[1] &= ~01; $flags[2] = $flags[2] & ~0460 | 060; $flags[3] &= ~0100113;
substr($mode, 0, 16) = pack 'L4', @flags;
substr($mode, 17 + 5, 2) = "\0\1";
ioctl $terminal, TCSETS, $mode or fail "cannot set a terminal: $!";
place($terminal, 0);
place($master, 21);

socket my $socket, AF_UNIX, SOCK_STREAM, 0 or fail "cannot make a socket: $!";
unlink $api;
bind $socket, address($api) or fail "cannot bind $api: $!";
chmod 0600, $api or fail "cannot close $api to others: $!";
listen $socket, 16 or fail "cannot listen on $api: $!";
place($socket, 22);

my $next = 23;
for (@files) {
  my ($how, $path, $below) = @$_;
  if ($how eq 'd') {
    -d $path or mkdir $path, 0700 or fail "cannot make $path: $!";
    sysopen my $own, $path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW or fail "cannot open $path: $!";
    chown $user, $user, $own and chmod 0700, $own or fail "cannot give $path to user $user: $!";
    place($own, $next++);
    next;
  }
  sysopen my $file, $path, O_RDONLY | O_NONBLOCK or fail "cannot open $path: $!";
  lay($path, $below) if $how eq 'q';
  if ($how ne 'r') { chown $user, $user, $file and chmod 0600, $file or fail "cannot give $path to user $user: $!" }
  else {
    my @at = stat $file;
    $at[2] & 0004 or chmod $at[2] & 07777 | 0444, $file or fail "cannot let user $user read $path: $!";
  }
  place($file, $next++);
}

unlink $events;
sysopen my $told, $events, O_WRONLY | O_CREAT | O_EXCL, 0600 or fail "cannot make $events: $!";
chown $user, $user, $told or fail "cannot give $events to user $user: $!";
close $told;
sysopen my $out, $console, O_WRONLY | O_CREAT | O_APPEND, 0600 or fail "cannot open $console: $!";
place($out, 1);

become($user, kvm_groups());
exec { $ARGV[0] } @ARGV or fail "cannot run $ARGV[0]: $!";
`}`;

/**
 * Types on the standard input of a Cloud Hypervisor: takes the other end of it from the process, and ends with that. A line of
 * hexadecimal on standard input is typed, and answered by `ok` once the system has taken it.
 *
 * Arguments: process, what one of the arguments on its command line must end with.
 */
export const TYPIST = `${HEAD}${String.raw`
my ($pid, $word) = @ARGV;
my $process = syscall SYS_pidfd_open, $pid + 0, 0;
$process >= 0 or fail "process $pid is not there: $!";
open my $line, '<', "/proc/$pid/cmdline" or fail "process $pid is not there: $!";
my $argv = do { local $/; <$line> } // '';
grep { /\/\Q$word\E$/ } split /\0/, $argv or fail "process $pid is another by now";
my $number = syscall SYS_pidfd_getfd, $process, 21, 0;
$number >= 0 or fail "cannot take the keyboard of process $pid: $!";
open my $keyboard, '>&=', $number or fail "cannot take the keyboard of process $pid: $!";
my $name = pack 'i', 0;
ioctl $keyboard, TIOCGPTN, $name or fail "process $pid has no keyboard";
print "ok\n";
my $asked = '';
while (1) {
  my $set = '';
  vec($set, 0, 1) = vec($set, $process, 1) = 1;
  select $set, undef, undef, undef;
  fail 'the guest has ended' if vec $set, $process, 1;
  sysread STDIN, $asked, 65536, length $asked or exit;
  while ($asked =~ s/^([0-9a-f]*)\n//) {
    my $bytes = pack 'H*', $1;
    for (my $at = 0; $at < length $bytes;) {
      my $done = syswrite $keyboard, $bytes, length($bytes) - $at, $at;
      defined $done or fail "cannot type: $!";
      $at += $done;
    }
    print "ok\n";
  }
}
`}`;

/**
 * Sends a Cloud Hypervisor its interfaces, each with a descriptor beside the request (SCM_RIGHTS): its user may open neither
 * taps nor devices. Of each line of standard input, split at tabs: `tap` and a device, or `node` and the path of a
 * character device; then a body in JSON. Answers a line for each: the status and the body of the answer, or stops at the
 * first that is refused.
 *
 * Arguments: control socket.
 */
export const NIC_SENDER = `${HEAD}${String.raw`
my ($api) = @ARGV;
socket my $socket, AF_UNIX, SOCK_STREAM, 0 or fail "cannot make a socket: $!";
connect $socket, address($api) or fail "cannot connect to $api: $!";
while (defined(my $line = <STDIN>)) {
  chomp $line;
  my ($kind, $place, $body) = split /\t/, $line, 3;
  my $path = $kind eq 'tap' ? '/dev/net/tun' : $place;
  sysopen my $tap, $path, O_RDWR | O_NONBLOCK or fail "cannot open $path: $!";
  if ($kind eq 'tap') {
    my $request = pack 'a16 S x22', $place, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    ioctl $tap, TUNSETIFF, $request or fail "cannot open the tap $place: $!";
  }
  my $text = "PUT /api/v1/vm.add-net HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    . "Content-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
  # struct iovec; cmsghdr with SOL_SOCKET, SCM_RIGHTS; msghdr.
  my $vector = pack 'P Q', $text, length $text;
  my $rights = pack 'Q i i i x4', 20, 1, 1, fileno $tap;
  my $message = pack 'Q L x4 P Q P Q L x4', 0, 0, $vector, 1, $rights, length $rights, 0;
  my $sent = syscall SYS_sendmsg, fileno $socket, $message, 0;
  $sent == length $text or fail "cannot send an interface: $!";
  my ($answer, $status, $length) = ('');
  until ($answer =~ /\r\n\r\n/) { sysread $socket, $answer, 4096, length $answer or fail 'no answer to vm.add-net' }
  ($status) = $answer =~ m{^HTTP/1\.[01] (\d{3})} or fail 'no HTTP answer to vm.add-net';
  ($length) = $answer =~ /^content-length: *(\d+)/mi;
  $length = 0 if $status == 204 || !defined $length;
  fail 'too long an answer to vm.add-net' if $length > 65536;
  my $from = index($answer, "\r\n\r\n") + 4;
  until (length($answer) >= $from + $length) { sysread $socket, $answer, 4096, length $answer or fail 'no whole answer to vm.add-net' }
  my $said = substr $answer, $from, $length;
  $said =~ s/[\r\n]+/ /g;
  print "$status $said\n";
  last if $status >= 300;
}
`}`;

/**
 * Tells whether a user may use KVM, and it works: a virtual machine is made and let go. Says `ok`, or why not.
 *
 * Arguments: user.
 */
export const KVM_TRIAL = `${HEAD}${String.raw`
my ($user) = @ARGV;
-e '/dev/kvm' or do { print "absent\n"; exit };
become($user, kvm_groups());
sysopen my $kvm, '/dev/kvm', O_RDWR or do { print "closed $!\n"; exit };
my $version = ioctl($kvm, KVM_GET_API_VERSION, 0) // '';
$version eq '12' or do { print "useless it speaks version $version of its interface\n"; exit };
defined ioctl($kvm, KVM_CREATE_VM, 0) or do { print "useless $!\n"; exit };
print "ok\n";
`}`;

/**
 * Tells whether a process can shut itself out of the host's files here, as Cloud Hypervisor does: of all that the third version
 * of Landlock knows (Linux 6.2). Says `ok`, or why not.
 */
export const LANDLOCK_TRIAL = `${HEAD}${String.raw`
my $version = syscall SYS_landlock_create_ruleset, 0, 0, 1;
$version >= 0 or do { print "absent $!\n"; exit };
$version >= 3 or do { print "old $version\n"; exit };
my $all = pack 'Q', (1 << 15) - 1;
my $rules = syscall SYS_landlock_create_ruleset, $all, 8, 0;
$rules >= 0 or do { print "useless $!\n"; exit };
syscall SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0;
syscall(SYS_landlock_restrict_self, $rules, 0) == 0 or do { print "useless $!\n"; exit };
sysopen my $open, '/', O_RDONLY | O_DIRECTORY and do { print "useless it hides nothing\n"; exit };
print "ok\n";
`}`;
