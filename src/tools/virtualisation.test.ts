import { expect, test } from 'vitest';
import { virtualisationOf } from './virtualisation.ts';

test.for([
  ['flags\t\t: fpu vme vmx ssse3\n', 'vmx'],
  ['processor : 0\nflags : svm npt\nbugs : x\n', 'svm'],
  ['flags : fpu svm_lock vmx_x hypervisor', undefined],
  ['vmx flags : vnmi ept', undefined],
  ['', undefined],
] as const)('%j is %s', ([cpuinfo, expected]) => {
  expect(virtualisationOf(cpuinfo)).toBe(expected);
});
