/**
 * By what the CPU virtualises, as its flags call it: Intel's or AMD's way. Undefined: not here. Where it does not, a /dev/kvm that is
 * there all the same, and answers what it is asked, may be of a hypervisor that wants a kernel of its own in its guests.
 *
 * @param cpuinfo - what /proc/cpuinfo says, see proc(5)
 */
export function virtualisationOf(cpuinfo: string): 'vmx' | 'svm' | undefined {
  const word = /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1];
  return word === 'vmx' || word === 'svm' ? word : undefined;
}
