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

/**
 * Of a host that runs strangers' code, in the order of docs/production.md.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/prod-host-setup.md
 */
export const PRODUCTION_CHECKS: readonly Check[] = [
  boundary,
  limits,
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
