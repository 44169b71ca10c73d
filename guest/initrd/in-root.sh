# Looks into another root from outside of it: read by guest/initrd/init, and by nothing that runs in there.
# Needs busybox. Links, absolute ones too, are followed as they would be inside.

# Where a root may have its init: what the kernel itself tries, and what systems have that leave that to their boot loader.
INITS='/sbin/init /etc/init /bin/init /init /lib/systemd/systemd
  /usr/lib/systemd/systemd /usr/sbin/init /nix/var/nix/profiles/system/init'

# Prints the path of a file in a root with all links followed, without the root. @returns 1, and says so in `lost`,
# where a part of it is not there or goes round in circles
real_path() { # ROOT PATH
  in_root=$1 todo=$2 real='' links=0 leads='' lost=''
  while :; do
    while [ "${todo#/}" != "$todo" ]; do todo=${todo#/}; done
    [ -n "$todo" ] || break
    part=${todo%%/*}
    case $todo in
      */*) todo=${todo#*/} ;;
      *) todo='' ;;
    esac
    case $part in
      .) continue ;;
      ..)
        real=${real%/*}
        continue
        ;;
    esac
    if [ -L "$in_root$real/$part" ]; then
      links=$((links + 1))
      # As many as Linux follows (MAXSYMLINKS).
      if [ $links -gt 40 ]; then
        lost="$real/$part, a link that goes round in circles"
        return 1
      fi
      # Not only the directory of it.
      [ -n "$todo" ] || leads=1
      to=$(readlink "$in_root$real/$part")
      [ "${to#/}" = "$to" ] || real=''
      todo=$to/$todo
    elif [ -e "$in_root$real/$part" ]; then
      real=$real/$part
    else
      lost=$real/$part
      return 1
    fi
  done
  real=${real:-/}
}

# The directory that a path in a root leads to, as seen from here; made where it is not there. @returns 1 where that cannot be
directory_in() { # ROOT PATH
  if real_path "$1" "$2"; then
    [ -d "$1$real" ] || return 1
  else
    mkdir "$1$lost" 2>/dev/null || return 1
    [ "$lost" = "${2%/}" ] || directory_in "$1" "$2" || return 1
    real_path "$1" "$2" || return 1
  fi
  there=$1$real
}

# Makes, below another directory, the directories that a root lacks: laid under the root, they are where the paths lead.
# @returns 1 where it lacks none
make_lacking() { # ROOT BELOW PATH…
  lacking_in=$1 below=$2 lacks=1
  shift 2
  for path; do
    ! real_path "$lacking_in" "$path" || continue
    case $lost/$todo in *circles* | */..*) continue ;; esac
    mkdir -p "$below$lost/$todo" && lacks=0
  done
  return $lacks
}

bytes_of() { # FILE OFFSET COUNT -> in hexadecimal
  hexdump -v -s "$2" -n "$3" -e '1/1 "%02x"' "$1" 2>/dev/null
}

number_at() { # HEX OFFSET COUNT -> $number, of bytes in little-endian order
  number=$1 skip=$2
  while [ "$skip" -gt 0 ]; do number=${number#??} skip=$((skip - 1)); done
  left=$number digits='' count=$3
  while [ "$count" -gt 0 ]; do
    byte=${left%"${left#??}"}
    left=${left#??} digits=$byte$digits count=$((count - 1))
  done
  number=$((0x${digits:-0}))
}

# Whether the kernel can run a file of a root as a program: then `runs` is its path without links.
# @returns 1 where it cannot; `why` is the end of a sentence
can_run() { # ROOT PATH [DEPTH]
  why=''
  if ! real_path "$1" "$2"; then
    why="it leads to $lost, which is not there"
    [ -n "$leads" ] || why='it is not there'
    case $lost in *circles) why="it leads to $lost" ;; esac
    return 1
  fi
  subject=$1$real
  [ "${3:-0}" != 0 ] || runs=$real
  if [ -d "$subject" ]; then why='it is a directory'; elif [ ! -f "$subject" ]; then why='it is no regular file'; fi
  [ -z "$why" ] || return 1
  if [ ! -x "$subject" ]; then
    why='it is not executable'
    return 1
  fi
  header=$(bytes_of "$subject" 0 64)
  case $header in
    2321*) can_run_script "$@" ;;
    7f454c46*) can_run_elf "$@" ;;
    '') why='it is empty' && return 1 ;;
    *) why='it is neither a program nor a script' && return 1 ;;
  esac
}

# A depth that no script has.
AS_LOADER=9

can_run_script() { # ROOT PATH [DEPTH]
  if [ "${3:-0}" = $AS_LOADER ]; then
    why='it is a script'
    return 1
  fi
  # So many the kernel follows (exec_binprm).
  if [ "${3:-0}" -ge 5 ]; then
    why='it is a script of a script, and so on without end'
    return 1
  fi
  first=$(head -c 256 "$subject" | head -n 1 | tr '\t' ' ')
  first=${first#??}
  while [ "${first# }" != "$first" ]; do first=${first# }; done
  interpreter=${first%% *}
  if [ -z "$interpreter" ]; then
    why='it is a script that names no interpreter'
    return 1
  fi
  can_run "$1" "$interpreter" $((${3:-0} + 1)) && return 0
  shown=$(echo "$interpreter" | sed 's/\r$/, followed by a carriage return/')
  why="it is a script for $shown, and that cannot be run: $why"
  return 1
}

can_run_elf() { # ROOT PATH [DEPTH]
  depth=${3:-0}
  number_at "$header" 18 2
  case ${header#????????} in
    # 64 bits, x86-64.
    02*) if [ $number = 62 ]; then set -- "$1" 32 54 56 8 8 32; else number=other; fi ;;
    # 32 bits, which this kernel runs where it says so.
    01*) if [ $number = 3 ] && [ -e /proc/sys/abi/vsyscall32 ]; then set -- "$1" 28 42 44 4 4 16; else number=other; fi ;;
    *) number=other ;;
  esac
  if [ $number = other ]; then
    number_at "$header" 18 2
    case $number in
      3) cpu='32-bit x86' ;;
      8) cpu=MIPS ;;
      20 | 21) cpu=PowerPC ;;
      22) cpu=S/390 ;;
      40) cpu=ARM ;;
      62) cpu=x32 ;;
      183) cpu=AArch64 ;;
      243) cpu=RISC-V ;;
      258) cpu=LoongArch ;;
      *) cpu="machine $number" ;;
    esac
    why="it is a program for another CPU ($cpu)"
    return 1
  fi
  number_at "$header" 16 2
  case $number in
    # An executable, or one that can lie anywhere.
    2 | 3) [ ${#header} -ge $(($4 * 2 + 12)) ] && number_at "$header" "$4" 2 || number=0 ;;
    *) number=0 ;;
  esac
  if [ $number = 0 ]; then
    why='it is a part of a program'
    return 1
  fi
  # Its loader is a file of the root too: PT_INTERP, of a program header (elf(5)).
  number_at "$header" "$2" "$5" && table=$number
  number_at "$header" "$3" 2 && size=$number
  number_at "$header" "$4" 2 && count_of=$number
  [ $count_of -le 64 ] || count_of=64
  headers=$(bytes_of "$subject" $table $((size * count_of)))
  while [ $count_of -gt 0 ] && [ ${#headers} -ge $((size * 2)) ]; do
    number_at "$headers" 0 4
    if [ $number = 3 ]; then
      number_at "$headers" "$6" "$5" && table=$number
      number_at "$headers" "$7" "$5" && size=$number
      # The kernel asks a loader for no loader of its own.
      [ "$depth" -lt $AS_LOADER ] || return 0
      loader=$(dd if="$subject" bs=1 skip=$table count=$((size - 1)) 2>/dev/null)
      can_run "$1" "$loader" $AS_LOADER && return 0
      why="its loader $loader ${why#it }"
      return 1
    fi
    rest=$headers drop=$size
    while [ $drop -gt 0 ]; do rest=${rest#??} drop=$((drop - 1)); done
    headers=$rest count_of=$((count_of - 1))
  done
  return 0
}

# Whether what `can_run` has found is busybox as a container's image has it, with nothing that it would start: then `why` says so.
is_hollow() { # ROOT
  grep -qs 'BusyBox v' "$1$runs" || [ "${runs##*/}" = busybox ] || return 1
  if real_path "$1" /etc/inittab; then
    grep -qs /sbin/openrc "$1$real" && ! real_path "$1" /sbin/openrc || return 1
    why='it is the init of a container image, whose OpenRC is not there'
  else
    ! real_path "$1" /etc/init.d/rcS || return 1
    why='it is the init of a container image, which has neither /etc/inittab nor /etc/init.d/rcS'
  fi
}
