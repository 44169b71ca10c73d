/**
 * The Debian packages that Flintlock needs: [package, what for, a file that
 * is there when it is installed]. One list for the set-up and for the README.
 */
export const NEEDED = [
  ['libatomic1', 'is needed by the Node that the lockfile pins', '/usr/lib/x86_64-linux-gnu/libatomic.so.1'],
  ['qemu-system-x86', 'runs the microVMs', '/usr/bin/qemu-system-x86_64'],
  ['skopeo', 'fetches OCI images', '/usr/bin/skopeo'],
  ['umoci', 'makes OCI images', '/usr/bin/umoci'],
  ['bzip2', 'unpacks layers that are packed so', '/bin/bzip2'],
  ['ca-certificates', 'proves who a registry is', '/usr/sbin/update-ca-certificates'],
  ['e2fsprogs', 'makes the disk images', '/sbin/mke2fs'],
  ['fdisk', 'makes the partition of a disk that has one', '/sbin/sfdisk'],
  ['dosfstools', 'makes the disk with the metadata of a microVM that may not ask for it', '/usr/sbin/mkfs.vfat'],
  ['mtools', 'writes that disk', '/usr/bin/mcopy'],
  ['iproute2', 'makes bridges and network devices', '/bin/ip'],
  ['nftables', 'keeps the firewall of the managed network', '/usr/sbin/nft'],
  ['conntrack', 'ends connections when a published port leads elsewhere', '/usr/sbin/conntrack'],
  ['dnsmasq-base', 'gives the microVMs their addresses', '/usr/sbin/dnsmasq'],
  ['dnsmasq-utils', 'frees an address when its microVM is gone', '/usr/bin/dhcp_release'],
  ['xz-utils', 'unpacks kernels, their modules and layers of images', '/usr/bin/xz'],
  ['lz4', 'unpacks kernels too', '/usr/bin/lz4'],
  ['kmod', "makes the lists by which a guest finds its kernel's modules", '/sbin/depmod'],
  ['busybox-static', 'is the demo guest', '/var/lib/dpkg/info/busybox-static.list'],
];

/** What a checkout needs beside them; in a package it is compiled already. */
export const NEEDED_TO_BUILD = [
  ['gcc', 'compiles the guest agent', '/usr/bin/gcc'],
  ['binutils', 'is its assembler and linker', '/usr/bin/as'],
  ['musl-tools', 'has the C library that is in it', '/usr/bin/musl-gcc'],
];

/** What the tests need beside them. */
export const NEEDED_BY_TESTS = [
  ['qemu-utils', 'looks into disks', '/usr/bin/qemu-img'],
  ['iputils-ping', 'asks the guests for an answer', '/bin/ping'],
  ['openssl', 'makes certificates', '/usr/bin/openssl'],
  ['openssh-client', 'logs in to guests', '/usr/bin/ssh'],
  ['attr', 'gives files extended attributes', '/usr/bin/setfattr'],
  ['libcap2-bin', 'gives programs capabilities', '/usr/sbin/setcap'],
  ['curl', 'is an HTTP client by others', '/usr/bin/curl'],
  ['python3-grpcio', 'is a gRPC client by others', '/usr/lib/python3/dist-packages/grpc/__init__.py'],
  ['python3-protobuf', 'builds its messages', '/usr/lib/python3/dist-packages/google/protobuf/__init__.py'],
];

/**
 * Programs for tests that are unpacked below .cache/tools and not installed,
 * because installing them starts a service: [package, what for, program].
 */
export const UNPACKED_FOR_TESTS = [
  ['docker-registry', 'is a real registry to pull from', 'usr/bin/docker-registry'],
  ['nginx', 'is a proxy that people put before the daemon', 'usr/sbin/nginx'],
];

/** What `npm run images` needs beside them, by image. The kernel's source is fetched and not installed. */
export const NEEDED_BY_IMAGES = {
  kernel: [
    ['libc6-dev', "is for the kernel's own tools", '/usr/include/stdio.h'],
    ['libelf-dev', 'is for its objtool', '/usr/include/libelf.h'],
    ['make', 'runs its build', '/usr/bin/make'],
    ['bison', 'makes its parsers', '/usr/bin/bison'],
    ['flex', 'makes its scanners', '/usr/bin/flex'],
    ['bc', 'calculates its time constants', '/usr/bin/bc'],
  ],
  debian: [['mmdebstrap', "makes a root of Debian's packages", '/usr/bin/mmdebstrap']],
  stock: [['mmdebstrap', "makes roots of Debian's packages", '/usr/bin/mmdebstrap']],
  'stock-bookworm': [['mmdebstrap', "makes a root of Debian's packages", '/usr/bin/mmdebstrap']],
};

const APT = 'sudo apt-get install --no-install-recommends';

/** Distributions whose C library is not that of the Node that the lockfile pins: nothing that is installed there mends it. */
const OTHER_LIBRARY = ['alpine', 'postmarketos', 'chimera'];

/**
 * The same under the names of distributions on which the set-up does not
 * install by itself, because nobody has tried it there: by ID of
 * os-release(5). A package that is not named has Debian's name.
 */
export const ELSEWHERE = {
  ubuntu: { title: 'Ubuntu', install: APT, names: {} },
  // What is made from it, other releases too.
  debian: { title: 'a Debian of another release, or made from it,', install: APT, names: {} },
  fedora: {
    title: 'Fedora',
    install: 'sudo dnf install',
    names: {
      libatomic1: 'libatomic',
      'qemu-utils': 'qemu-img',
      fdisk: 'util-linux',
      iproute2: 'iproute',
      conntrack: 'conntrack-tools',
      'dnsmasq-base': 'dnsmasq',
      'xz-utils': 'xz',
      'busybox-static': 'busybox',
      'musl-tools': 'musl-gcc',
      'iputils-ping': 'iputils',
      'libcap2-bin': 'libcap',
      'openssh-client': 'openssh-clients',
    },
  },
  suse: {
    title: 'openSUSE',
    install: 'sudo zypper install --no-recommends',
    names: {
      'qemu-system-x86': 'qemu-x86',
      'qemu-utils': 'qemu-img',
      fdisk: 'util-linux',
      conntrack: 'conntrack-tools',
      'dnsmasq-base': 'dnsmasq',
      'xz-utils': 'xz',
      'iputils-ping': 'iputils',
      'libcap2-bin': 'libcap-progs',
      'openssh-client': 'openssh-clients',
    },
  },
  arch: {
    title: 'Arch Linux',
    install: 'sudo pacman -S --needed',
    names: {
      libatomic1: 'gcc-libs',
      'qemu-utils': 'qemu-img',
      fdisk: 'util-linux',
      conntrack: 'conntrack-tools',
      'dnsmasq-base': 'dnsmasq',
      // dhcp_release is in the sources of dnsmasq, below contrib/lease-tools.
      'dnsmasq-utils': 'dnsmasq',
      'xz-utils': 'xz',
      'busybox-static': 'busybox',
      'musl-tools': 'musl',
      'iputils-ping': 'iputils',
      'libcap2-bin': 'libcap',
      'openssh-client': 'openssh',
      'python3-grpcio': 'python-grpcio',
      'python3-protobuf': 'python-protobuf',
    },
    other: { umoci: 'the AUR' },
  },
};

/** The distribution's row: its own, or that of what it is like. */
export function elsewhere({ ID = '', ID_LIKE = '' }) {
  const id = [ID, ...ID_LIKE.split(' ')].find((name) => Object.hasOwn(ELSEWHERE, name));
  return id === undefined ? undefined : ELSEWHERE[id];
}

/**
 * What to install on a machine whose distribution the set-up does not know,
 * in lines, by that distribution's names where it is one of the above.
 *
 * @param os - of os-release(5)
 * @param packages - those that are missing, rows as above
 */
export function describeElsewhere(os, packages) {
  const width = Math.max(0, ...packages.map(([name]) => name.length));
  if ([os.ID, ...(os.ID_LIKE ?? '').split(' ')].some((id) => OTHER_LIBRARY.includes(id)))
    return [
      `the set-up installs on Debian 12 and 13; this is ${os.PRETTY_NAME ?? os.ID}, whose C library is musl.`,
      'The Node that the lockfile pins is built for glibc and does not start here: take a distribution with that.',
    ];
  const known = elsewhere(os);
  const rows = packages.map(([name, why]) => `  ${name.padEnd(width)}  ${why}`);
  const lines = [`the set-up installs on Debian 12 and 13; this is ${os.PRETTY_NAME ?? 'an unknown system'}.`];
  if (packages.length === 0) lines.push('The programs that are needed are there.');
  else if (known === undefined) lines.push('Install what these Debian packages hold:', ...rows);
  else {
    const taken = packages.map(([name]) => name).filter((name) => known.other?.[name] === undefined);
    const names = [...new Set(taken.map((name) => known.names[name] ?? name))];
    lines.push(`On ${known.title} this installs what is missing; it has not been tried there:`);
    lines.push(`  ${known.install} ${names.join(' ')}`);
    for (const [name, from] of Object.entries(known.other ?? {}))
      if (packages.some(([other]) => other === name)) lines.push(`  and ${name} from ${from}`);
    lines.push("What each is for, by Debian's names:", ...rows);
  }
  lines.push(
    "The demo images are made of Debian's packages: make them on a Debian by npm run setup, and copy .cache/images here.",
    'With all of that in place the set-up has nothing left to do but the npm packages.',
  );
  return lines;
}
