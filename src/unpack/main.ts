/**
 * The unpacker: reads a Job from standard input, makes the tree, prints an
 * Outcome. What is no outcome (a bug, a broken host) goes to standard error,
 * with exit status 1.
 */
import { json } from 'node:stream/consumers';
import type { Job } from './job.ts';
import { unpack } from './unpack.ts';

process.stdout.write(`${JSON.stringify(await unpack((await json(process.stdin)) as Job))}\n`);
