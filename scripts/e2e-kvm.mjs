/**
 * What KVM changes, tried with real guests as root, on a host that has it:
 *
 *     npm run lab -- npm run e2e:kvm
 */
import { join } from 'node:path';
import { asRoot, attended, guarded, main, NODE, ROOT } from './steps.mjs';

await main('e2e:kvm', () => {
  const args = process.argv.slice(2);
  const argv = [NODE, join(ROOT, 'test/kvm/main.ts'), ...args];
  if (args.some((word) => ['--help', '-h'].includes(word))) return attended(argv);
  return attended(asRoot(guarded(argv, { contained: true })));
});
