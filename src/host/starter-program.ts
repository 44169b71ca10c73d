/**
 * What starts programs for a daemon: small, so that its fork takes 0.2 ms, where that of a process of 100 MB takes ten or
 * twenty times as long and keeps it from all else. For the perl of every Debian (perl-base is Essential), given whole as an argument.
 *
 * It is told on standard input: four bytes of length, then words, each ended by NUL but the last: a number for the answer, the
 * directory (empty: ours), how many files are found open as 0, 1, 2, …; each with how it is opened (`a` to append, `r`, `w`) and its path; the
 * program and its arguments. It says on standard output, a line each: `ready`, before it starts anything; `started NUMBER PID STARTTIME`; `failed NUMBER WHERE FILE
 * ERRNO`, where nothing runs; `ended PID STATUS`, never before the one that it was started.
 *
 * It ends with its standard input; what it has started does not.
 */
export const STARTER_PROGRAM = String.raw`
use strict; use warnings; use Fcntl; use POSIX ();
# Of x86-64: arch/x86/entry/syscalls/syscall_64.tbl; of Linux: F_LINUX_SPECIFIC_BASE + 6.
use constant { SYS_signalfd4 => 289, F_DUPFD_CLOEXEC => 1030, SFD_CLOEXEC => 02000000, SFD_NONBLOCK => 04000, HIGH => 64 };
delete $ENV{PERL_BADLANG};
opendir my $open, '/proc/self/fd' or exit 1;
POSIX::close($_) for grep { /^\d+$/ && $_ > 2 && $_ != fileno $open } readdir $open;
closedir $open;
# Who ends the daemon at a terminal does not mean this process: it ends with the daemon, when that has.
my @deaf = qw(INT TERM HUP QUIT PIPE);
$SIG{$_} = 'IGNORE' for @deaf;
POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(POSIX::SIGCHLD()));
my $mask = pack 'Q', 1 << (POSIX::SIGCHLD() - 1);
my $deaths = syscall SYS_signalfd4, -1, $mask, 8, SFD_CLOEXEC | SFD_NONBLOCK;
$deaths > 0 or do { print STDERR "no signalfd: $!\n"; exit 1 };
open my $death, '<&=', $deaths or exit 1;
my %begun;
my %number;

sub say_line {
  my $line = "$_[0]\n";
  for (my $at = 0; $at < length $line;) {
    my $done = syswrite STDOUT, $line, length($line) - $at, $at;
    defined $done or exit;
    $at += $done;
  }
}

sub become {
  my ($to, $directory, $files, $argv) = @_;
  my $number = fcntl $to, F_DUPFD_CLOEXEC, HIGH or POSIX::_exit(127);
  open my $up, '>&=', $number or POSIX::_exit(127);
  my $fail = sub { my $error = $! + 0; syswrite $up, "$_[0] $_[1] $error"; POSIX::_exit(127) };
  POSIX::setsid();
  my @at;
  for my $i (0 .. $#$files) {
    my ($how, $path) = @{$files->[$i]};
    my $flags = { a => O_WRONLY | O_APPEND | O_CREAT, r => O_RDONLY | O_NONBLOCK, w => O_RDWR | O_NONBLOCK }->{$how};
    sysopen my $file, $path, $flags, 0600 or $fail->('open', $i);
    # To open without waiting is one thing, to read from the standard input another.
    fcntl $file, F_SETFL, $flags & ~(O_NONBLOCK | O_CREAT) or $fail->('open', $i) if $i < 3;
    push @at, fcntl($file, F_DUPFD_CLOEXEC, HIGH) || $fail->('open', $i);
  }
  chdir $directory or $fail->('enter', 0) if $directory ne '';
  POSIX::dup2($at[$_], $_) // $fail->('open', $_) for 0 .. $#at;
  $SIG{$_} = 'DEFAULT' for @deaf;
  POSIX::sigprocmask(POSIX::SIG_SETMASK(), POSIX::SigSet->new());
  no warnings 'exec';
  exec { $argv->[0] } @$argv;
  $fail->('run', 0);
}

sub begin {
  my ($id, $directory, $count, @argv) = @_;
  my @files = map { [splice @argv, 0, 2] } 1 .. $count;
  my $failed = sub { say_line("failed $id begin 0 " . ($! + 0)) };
  pipe my $from, my $to or return $failed->();
  my $pid = fork // return $failed->();
  become($to, $directory, \@files, \@argv) if $pid == 0;
  close $to;
  # Not reaped yet: the entry is there even if it has ended.
  open my $stat, '<', "/proc/$pid/stat";
  my ($fields) = (defined $stat ? readline $stat : '') =~ /.*\) (.*)/s;
  my $time = (split / /, $fields // '')[19] // '';
  $begun{fileno $from} = [$from, $id, $pid, $time];
  $number{$pid} = fileno $from;
}

# Its end of the pipe is closed by the program's begin, or says why there was none.
sub hear {
  my ($from, $id, $pid, $time) = @{delete $begun{$_[0]}};
  delete $number{$pid};
  sysread $from, my $why, 256;
  say_line(($why // '') eq '' ? "started $id $pid $time" : "failed $id $why");
}

sub reap {
  sysread $death, my $told, 4096;
  while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
    my $status = $?;
    hear($number{$pid}) if exists $number{$pid};
    say_line("ended $pid $status");
  }
}

my $asked = '';
say_line('ready');
while (1) {
  my $set = '';
  vec($set, $_, 1) = 1 for 0, $deaths, keys %begun;
  select($set, undef, undef, undef) > 0 or next;
  for (keys %begun) { hear($_) if vec $set, $_, 1 }
  reap() if vec $set, $deaths, 1;
  next unless vec $set, 0, 1;
  sysread STDIN, $asked, 1 << 20, length $asked or exit;
  while (length $asked >= 4) {
    my $length = unpack 'N', $asked;
    last if length $asked < 4 + $length;
    my @words = split /\0/, substr($asked, 4, $length), -1;
    substr($asked, 0, 4 + $length) = '';
    begin(@words);
  }
}
`;
