import type { Check, CheckHost, Result } from '../check.ts';
import { ask, whereIs } from '../look.ts';

interface Tool {
  readonly name: string;
  /** The Debian package that has it. */
  readonly package: string;
  /** Makes it tell its version; absent where it cannot on standard output: then the package's is asked. */
  readonly version?: readonly string[];
}

const TOOLS: readonly Tool[] = [
  { name: 'qemu-system-x86_64', package: 'qemu-system-x86', version: ['--version'] },
  { name: 'qemu-img', package: 'qemu-utils', version: ['--version'] },
  { name: 'skopeo', package: 'skopeo', version: ['--version'] },
  { name: 'umoci', package: 'umoci', version: ['--version'] },
  { name: 'mke2fs', package: 'e2fsprogs' },
  { name: 'sfdisk', package: 'fdisk', version: ['--version'] },
  { name: 'mkfs.vfat', package: 'dosfstools' },
  { name: 'mcopy', package: 'mtools', version: ['--version'] },
  { name: 'ip', package: 'iproute2', version: ['-Version'] },
  { name: 'ss', package: 'iproute2', version: ['-Version'] },
  { name: 'nft', package: 'nftables', version: ['--version'] },
  { name: 'conntrack', package: 'conntrack', version: ['--version'] },
  { name: 'dnsmasq', package: 'dnsmasq-base', version: ['--version'] },
  { name: 'dhcp_release', package: 'dnsmasq-utils' },
  { name: 'setpriv', package: 'util-linux', version: ['--version'] },
  { name: 'cp', package: 'coreutils', version: ['--version'] },
];

/** The programs that the daemon runs. */
export const tools: Check = {
  name: 'tools',
  examine: (host) => Promise.all(TOOLS.map((tool) => examineTool(host, tool))),
};

async function examineTool(host: CheckHost, tool: Tool): Promise<Result> {
  const path = await whereIs(host, tool.name);
  const fix = `sudo apt-get install ${tool.package} (Debian's name; other distributions have it under a similar one)`;
  if (path === undefined) return { name: tool.name, status: 'fail', found: 'is not installed', fix };
  if (tool.version === undefined) {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own syntax
    const { ok, text } = await ask(host, ['dpkg-query', '--show', '--showformat', '${Version}', tool.package]);
    return { name: tool.name, status: 'ok', found: ok && text !== '' ? `${path}, package ${text}` : path, fix: '' };
  }
  const { ok, text } = await ask(host, [path, ...tool.version]);
  if (!ok) return { name: tool.name, status: 'fail', found: `${path} does not run: ${text}`, fix };
  const version = /\d+(?:\.\d+)+[\w.+~-]*/.exec(text.split('\n')[0] ?? '')?.[0];
  return { name: tool.name, status: 'ok', found: version === undefined ? path : `${path} ${version}`, fix: '' };
}
