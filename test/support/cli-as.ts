/**
 * The command line as another user: `cli-as.ts UID GID ARGUMENT…`. What it
 * needs is read before it gives up being root, since that user may not be able
 * to look into a checkout.
 */
import { processIo } from '../../src/cli/io.ts';
import { main } from '../../src/cli/main.ts';
import '../../src/cli/client.ts';
import '../../src/cli/errors.ts';
import '../../src/cli/verbs/list.ts';

const [uid, gid, ...argv] = process.argv.slice(2);
process.setgroups?.([]);
process.setgid?.(Number(gid));
process.setuid?.(Number(uid));
process.exitCode = await main(argv, processIo());
