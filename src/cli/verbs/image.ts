import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { parseSize } from '../../base/quantity.ts';
import {
  type Image,
  ImageSchema,
  type ListImagesResponse,
  ListImagesResponseSchema,
  PruneImagesResponseSchema,
  type PullImageResponse,
  RemoveImageResponseSchema,
} from '../../gen/flintlock/microvm/v1/images_pb.ts';
import { quick } from '../client.ts';
import type { Act, Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { outputOption } from '../options.ts';
import { liveOn } from '../print/live.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';
import { printable } from '../print/style.ts';
import { type Cell, tableText } from '../print/table.ts';
import { ageText, bytesText, millisOf, secondsText } from '../print/units.ts';

/** Trees of very many files take their time to go. */
const REMOVE_TIMEOUT_MS = 300_000;

interface Options {
  readonly output?: Structured;
  readonly golden?: number;
  readonly quiet?: boolean;
}

export const configure: Configure = (command, act) => {
  command.helpCommand(false).addHelpText('after', EXAMPLES);
  const sub = (name: string, summary: string): Command =>
    command
      .command(name)
      .description(summary)
      .showHelpAfterError(`Try: flintlock image ${name.split(' ')[0]} --help`);
  verb(sub('ls', 'list the images on the host: size, last use, and what uses them').alias('list'), act, list)
    .option('-q, --quiet', 'digests only')
    .addHelpText('after', LS_EXAMPLES);
  verb(sub('pull <image>', 'pull an image ahead of time'), act, pull)
    .option('--golden <size>', 'make the disk image of that size too: MiB, or 2G', goldenSize)
    .addHelpText('after', PULL_EXAMPLES);
  verb(sub('rm <image...>', 'remove images that nothing uses').alias('remove'), act, remove).addHelpText(
    'after',
    RM_EXAMPLES,
  );
  verb(sub('prune', 'remove every image that nothing uses'), act, prune).addHelpText(
    'after',
    '\nExamples:\n  flintlock image prune\n  flintlock image prune -o json | jq .freedBytes\n',
  );
};

/** The images that are named, then the options: as commander hands them over. */
function verb(
  command: Command,
  act: Act,
  work: (context: Context, options: Options, names: readonly string[]) => Promise<number>,
): Command {
  return command
    .addOption(outputOption('json', 'yaml'))
    .action(() => act((context) => work(context, command.opts<Options>(), command.args)));
}

async function list(context: Context, { output, quiet }: Options): Promise<number> {
  const images = await (await context.clients()).images();
  const answer = await images.listImages({}, quick(context.io.interrupt));
  while (answer.nextPageToken !== '') {
    const next = await images.listImages({ pageToken: answer.nextPageToken }, quick(context.io.interrupt));
    answer.images.push(...next.images);
    answer.nextPageToken = next.nextPageToken;
  }
  if (output) await context.out(await structuredText(jsonOf(ListImagesResponseSchema, answer), output));
  else if (quiet) await context.out(answer.images.map(({ digest }) => `${digest}\n`).join(''));
  else await context.out(listText(answer, context.io.now(), context.colour.stdout));
  return EXIT.done;
}

const HEAD = ['IMAGE', 'DIGEST', 'SIZE', 'DISKS', 'LAST USED', 'USED BY'];
const COPIES: Readonly<Record<string, string>> = {
  reflink: 'copies by reference (reflink): they cost nothing until they are written to',
  qcow2: 'qcow2 overlays over their disk images: they cost what guests write',
  sparse: 'sparse copies: each costs what its disk image holds',
};

function listText(answer: ListImagesResponse, now: number, colour: boolean): string {
  const { images, volumeCopy, sizeBytes, maxBytes } = answer;
  const head: Cell[] = HEAD.map((text) => ({ text, colour: 'bold' }));
  const rows = images.flatMap((image): Cell[][] => {
    const [first = '<no tag>', ...others] = image.references.toReversed();
    const used = millisOf(image.lastUsedAt);
    const goldens = image.goldens.map(({ sizeInMb }) => `${sizeInMb}M`).join(',');
    const row = [
      first,
      shortDigest(image.digest),
      bytesText(image.sizeBytes),
      goldens || '-',
      used === undefined ? '-' : `${ageText(now - used)} ago`,
      image.usedBy.join(',') || '-',
    ];
    return [row, ...others.map((name) => [name, '', '', '', '', ''])];
  });
  const limit = maxBytes > 0n ? ` of at most ${bytesText(maxBytes)}` : '';
  const many = `${images.length} ${images.length === 1 ? 'image' : 'images'}`;
  const footer = `${many}, ${bytesText(sizeBytes)}${limit}; volumes are ${COPIES[volumeCopy] ?? volumeCopy}`;
  return `${tableText([head, ...rows], { colour })}${printable(footer)}\n`;
}

/** As `image rm` takes it. */
const shortDigest = (digest: string): string => digest.slice(0, 'sha256:'.length + 12);

async function pull(context: Context, { output, golden }: Options, [reference = '']: readonly string[]) {
  const { io } = context;
  const images = await (await context.clients()).images();
  const started = io.now();
  const live = liveOn(context);
  let last: PullImageResponse | undefined;
  const request = { reference, ...(golden !== undefined && { goldenSizeInMb: golden }) };
  try {
    for await (const news of images.pullImage(request, { signal: io.interrupt })) {
      last = news;
      if (news.step !== 'done') await live.show(news.step, progressText(reference, news, io.now() - started));
    }
  } finally {
    await live.end();
  }
  if (!last?.image)
    throw new Problem(EXIT.failed, `The daemon ended the pull of ${printable(reference)} without an image`);
  const { image, remark } = last;
  if (remark !== '') await context.err(`flintlock: note: ${printable(remark)}\n`);
  await context.out(
    output
      ? await structuredText(jsonOf(ImageSchema, image), output)
      : pulledText(reference, last, image, io.now() - started),
  );
  return EXIT.done;
}

function progressText(reference: string, { step, doneBytes, totalBytes }: PullImageResponse, ms: number): string {
  if (step === 'golden') return `${reference}: making the disk image, ${secondsText(ms)}`;
  const isUnpacking = totalBytes > 0n && doneBytes >= totalBytes;
  const total = totalBytes > 0n ? ` of ${bytesText(totalBytes)}` : '';
  return `${reference}: ${bytesText(doneBytes)}${total}${isUnpacking ? ', unpacking' : ''}, ${secondsText(ms)}`;
}

function pulledText(
  reference: string,
  { lookUp }: PullImageResponse,
  { digest, sizeBytes, goldens }: Image,
  ms: number,
): string {
  const disks = goldens.map(({ sizeInMb }) => `${sizeInMb} MiB`).join(', ');
  const made = disks === '' ? '' : `, disk images of ${disks}`;
  const asked = lookUp ? ` (registry look-up ${Math.round(durationMs(lookUp))} ms)` : '';
  return `${printable(`${reference} is here after ${secondsText(ms)}${asked}: ${digest}, ${bytesText(sizeBytes)}${made}`)}\n`;
}

async function remove(context: Context, { output }: Options, names: readonly string[]): Promise<number> {
  const images = await (await context.clients()).images();
  const limits = { signal: context.io.interrupt, timeoutMs: REMOVE_TIMEOUT_MS };
  let exit: number = EXIT.done;
  for (const name of names) {
    try {
      const answer = await images.removeImage({ image: name }, limits);
      await context.out(
        output
          ? await structuredText(jsonOf(RemoveImageResponseSchema, answer), output)
          : `${printable(name)} is removed: ${bytesText(answer.freedBytes)} are free again\n`,
      );
    } catch (error) {
      if (context.io.interrupt.aborted) throw error;
      const problem = await context.explain(error, `Cannot remove image ${printable(name)}`);
      await context.err(problem.text());
      exit ||= problem.exit;
    }
  }
  return exit;
}

async function prune(context: Context, { output }: Options): Promise<number> {
  const images = await (await context.clients()).images();
  const limits = { signal: context.io.interrupt, timeoutMs: REMOVE_TIMEOUT_MS };
  const answer = await images.pruneImages({}, limits);
  if (output) {
    await context.out(await structuredText(jsonOf(PruneImagesResponseSchema, answer), output));
    return EXIT.done;
  }
  const lines = answer.removed.map(
    ({ digest, references, sizeBytes }) =>
      `${shortDigest(digest)}  ${bytesText(sizeBytes)}  ${references.at(-1) ?? '<no tag>'}`,
  );
  const total = `${answer.removed.length} removed, ${bytesText(answer.freedBytes)} are free again`;
  await context.out([...lines, total].map((line) => `${printable(line)}\n`).join(''));
  return EXIT.done;
}

/** `512`, `512M`, `2G`, in MiB. */
function goldenSize(text: string): number {
  const mb = (parseSize(text, 'M') ?? Number.NaN) / 2 ** 20;
  if (!Number.isInteger(mb) || mb < 1 || mb > 16 << 20)
    throw new InvalidArgumentError('Write a size from 1 MiB to 16 TiB, for instance 512, 512M or 2G.');
  return mb;
}

const EXAMPLES = `
Examples:
  flintlock image ls
  flintlock image pull docker.io/library/debian:12 --golden 2G
  flintlock image rm docker.io/library/debian:12
  flintlock image prune
`;
const LS_EXAMPLES = `
DISKS are the disk images that were made of an image, by size; SIZE counts them. A tag that has moved is shown at the
image that it led to last.

Examples:
  flintlock image ls
  flintlock image ls -o json | jq -r '.images[] | select(.usedBy == []) | .digest'
`;
const PULL_EXAMPLES = `
An image is [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], or oci:/DIR:TAG, oci-archive:/FILE:TAG or
docker-archive:/FILE:TAG below an --image-root
of the daemon. The image stays until "image rm", "image prune" or the daemon's --image-cache-max removes it.
Ctrl-C ends the pull, unless a microVM waits for the same image.

Examples:
  flintlock image pull ghcr.io/liquidmetal-dev/flintlock-kernel:5.10.77
  flintlock image pull registry.example:5000/team/root@sha256:0123… --golden 4G
  flintlock image pull oci:/srv/images/demo:root -o json | jq -r .digest
`;
const RM_EXAMPLES = `
An image is named by reference, by digest, or by 12 or more hex digits of it. What a microVM uses is not removed.

Examples:
  flintlock image rm registry.example:5000/team/root:v1
  flintlock image rm sha256:0123456789ab
`;
