/**
 * The conformance suite: sets up what it needs, then boots guests as root.
 * What is said on the way goes to standard error: standard output is the
 * suite's own.
 *
 *     npm run conformance -- --help
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { asRoot, attended, guarded, main, NODE, ROOT, Stop } from './steps.mjs';

/** A kernel that needs no initrd, a root with cloud-init, and roots that have nothing of ours. */
const IMAGES = ['kernel', 'debian', 'stock'];
/** Only for these rows, which a sample leaves out. */
const LEFT_TO_PROOFS = { image: 'stock-bookworm', rows: /^stock\/(?:bookworm|trixie)-/m };

/** The suite's own command; its exit status is 0, 1 or 2, see its --help. */
export const conformance = (args = []) => [NODE, join(ROOT, 'test/conformance/main.ts'), ...args];

if (process.argv[1] === import.meta.filename)
  await main('conformance', async () => {
    const args = process.argv.slice(2);
    if (args.some((word) => ['--help', '-h', '--list'].includes(word))) return attended(conformance(args));
    const [program, ...list] = conformance([...args, '--list']);
    const { status, stdout } = spawnSync(program, list, { encoding: 'utf8', timeout: 60_000 });
    if (status !== 0) return attended(conformance(args)); // which says what is wrong with them
    const images = [...IMAGES, ...(LEFT_TO_PROOFS.rows.test(stdout) ? [LEFT_TO_PROOFS.image] : [])];
    const setup = [join(ROOT, 'scripts/setup.mjs'), '--tests', ...images.map((name) => `--image=${name}`)];
    const code = await attended([process.execPath, ...setup], { stdio: [2, 2] });
    if (code !== 0) throw new Stop('the set-up did not succeed; what it said is above');
    return attended(asRoot(guarded(conformance(args), { contained: true })));
  });
