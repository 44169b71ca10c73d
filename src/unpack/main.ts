/**
 * The unpacker: reads a Job from standard input, does it, prints an
 * Outcome. What is no outcome (a bug, a broken host) goes to standard error,
 * with exit status 1.
 */
import { json } from 'node:stream/consumers';
import { expand } from './expand.ts';
import type { Job } from './job.ts';
import { unpack } from './unpack.ts';

const job = (await json(process.stdin)) as Job;
const outcome = await (job.is === 'unpack' ? unpack(job) : expand(job));
process.stdout.write(`${JSON.stringify(outcome)}\n`);
