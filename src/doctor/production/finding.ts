import type { Result } from '../check.ts';

/** One row about a host for strangers' code; `fail`: strangers' code is better not run there. */
export const finding = (name: string, status: Result['status'], found: string, fix = ''): readonly Result[] => [
  { name, status, found, fix },
];
