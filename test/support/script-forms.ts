/**
 * The smallest form of each script of package.json, and who runs it. A script
 * that nobody runs is dead, or wrong by tomorrow.
 */
export interface ScriptForm {
  /** Arguments of its smallest form; undefined: no test can run it, see `by`. */
  readonly args?: readonly string[];
  /** `scripts`: test/e2e/scripts.test.ts runs that form. Else who runs the script, or why nobody can. */
  readonly by: string;
  /**
   * Where it starts something that could be left: how long, in milliseconds,
   * its interesting part takes from the beginning on an idle machine.
   */
  readonly spanMs?: number;
}

const CHECK = 'scripts/check.mjs, the same command';
const ROW = 'machine/labels';

export const SCRIPT_FORMS: Readonly<Record<string, ScriptForm>> = {
  build: { by: 'scripts/try-install.mjs, by prepack; it needs debootstrap' },
  prepack: { by: 'scripts/try-install.mjs, by npm pack; it needs debootstrap' },
  setup: { args: [], by: 'scripts', spanMs: 1_500 },
  images: { args: ['kernel', 'tiny'], by: 'scripts', spanMs: 1_500 },
  quickstart: { args: [], by: 'scripts', spanMs: 12_000 },
  test: { args: [], by: 'whoever reads this: it runs the tests', spanMs: 10_000 },
  check: { args: [], by: 'scripts/test.mjs', spanMs: 8_000 },
  unit: { args: ['src/base/time-limit.test.ts'], by: 'scripts', spanMs: 3_000 },
  host: { args: ['src/host/processes.host.test.ts'], by: 'scripts', spanMs: 5_000 },
  lab: { args: ['--timeout', '900', 'sleep', '600'], by: 'test/e2e/lab.test.ts', spanMs: 8_000 },
  'e2e:kvm': { by: 'test/e2e/lab.test.ts, a case of it: it needs a host with KVM' },
  e2e: { args: ['test/e2e/life.test.ts'], by: 'scripts/test.mjs, the same command', spanMs: 10_000 },
  format: { args: ['package.json'], by: 'scripts' },
  lint: { by: CHECK },
  types: { by: CHECK },
  knip: { by: CHECK },
  generate: { args: ['--check'], by: CHECK },
  docs: { args: ['--check'], by: CHECK },
  'watch-proof': { args: ['--small'], by: 'scripts', spanMs: 8_000 },
  conformance: { args: ['--only', ROW], by: 'scripts/test.mjs', spanMs: 12_000 },
  'try-clean': { by: 'a person before a release: it needs debootstrap and a mirror, and an hour' },
  'try-install': { by: 'a person before a release: it needs debootstrap and a mirror' },
  fuzz: { args: ['--requests', '50', '--seconds', '5', '--seed', '7'], by: 'scripts', spanMs: 6_000 },
  faults: {
    args: ['--only', 'create: tap', '--sample', '1'],
    by: 'test/faults/sample.test.ts, a part of the walk; to learn its points takes minutes',
    spanMs: 12_000,
  },
  // Its parts are scripts of their own, of which each has its line here.
  proofs: { args: ['--help'], by: 'scripts' },
  soak: { args: ['--minutes', '0.1', '--vms', '2', '--seed', '7'], by: 'scripts', spanMs: 12_000 },
  bench: { args: ['--only', 'create-exec', '--runs', '1'], by: 'scripts', spanMs: 8_000 },
  'bench:check': { args: ['--from', 'bench/stored.json'], by: 'scripts' },
};
