import { KERNEL_PARTS, type KernelPart, tryKernelPart } from '../../network/kernel-trial.ts';
import type { Check, CheckHost, Result } from '../check.ts';
import { ask, whereIs, whoAmI } from '../look.ts';

/** What the kernel must be able to do for the network. */
export const kernelFeatures: Check = {
  name: 'kernel',
  async examine(host) {
    const { root } = await whoAmI(host);
    return Promise.all(Object.values(KERNEL_PARTS).map((part) => (root ? tried(host, part) : guessed(host, part))));
  },
};

async function tried(host: CheckHost, part: KernelPart): Promise<Result> {
  const { name, only } = part;
  const verdict = await tryKernelPart(part, host);
  switch (verdict.is) {
    case 'works':
      return { name, status: 'ok', found: 'works (tried in a namespace of its own)', fix: '' };
    case 'untried': {
      const fix = 'Where a tool is named: install it, or a newer one. In a container: --privileged';
      return { name, status: 'warn', found: `could not be tried: ${verdict.found}`, fix };
    }
    case 'lacks': {
      const { found, remedy: fix } = verdict;
      if (only === undefined) return { name, status: 'fail', found: `does not work: ${found}`, fix };
      return { name, status: 'warn', found: `does not work (needed for ${only} only): ${found}`, fix };
    }
    default:
      return verdict satisfies never;
  }
}

/** Without root nothing can be tried: whether the module is loaded, or can be. */
async function guessed(host: CheckHost, { name, module }: KernelPart): Promise<Result> {
  const told = host.daemon?.tools.find((one) => one.name === name);
  if (told?.is === 'works') return { name, status: 'ok', found: 'works, as the daemon finds it', fix: '' };
  if (told) return { name, status: 'fail', found: `${told.found}, as the daemon finds it`, fix: told.remedy };
  if (await host.files.stat(`/sys/module/${module}`)) return { name, status: 'ok', found: 'is loaded', fix: '' };
  const modprobe = await whereIs(host, 'modprobe');
  if (modprobe && (await ask(host, [modprobe, '--dry-run', '--quiet', module])).ok)
    return { name, status: 'ok', found: 'can be loaded', fix: '' };
  const found = `cannot tell whether ${module} is there: it is not loaded`;
  return { name, status: 'warn', found, fix: 'Try for real: sudo flintlock doctor' };
}
