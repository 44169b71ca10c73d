import type { Provider } from '../../vmm/provider.ts';
import { PROVIDERS } from '../../vmm/registry.ts';
import type { Check } from '../check.ts';
import { boundary, limits } from './boundary.ts';
import { cpuFlaws, microcode } from './cpu-flaws.ts';
import { kernelConsole } from './kernel-console.ts';
import { kernelSettings } from './kernel-settings.ts';
import { memoryErrors } from './memory-errors.ts';
import { nesting } from './nesting.ts';
import { pageSharing } from './page-sharing.ts';
import { swap } from './swap.ts';
import { threads } from './threads.ts';

/** One that brings none has nothing of its own to look at. */
const BY_PROVIDERS = PROVIDERS.flatMap((provider: Provider) => provider.productionChecks ?? []);

/**
 * Of a host that runs strangers' code, in the order of docs/production.md.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/prod-host-setup.md
 */
export const PRODUCTION_CHECKS: readonly Check[] = [
  boundary,
  limits,
  ...BY_PROVIDERS,
  cpuFlaws,
  microcode,
  threads,
  pageSharing,
  swap,
  nesting,
  kernelSettings,
  memoryErrors,
  kernelConsole,
];
