import { createHash } from 'node:crypto';
import type { Images } from './images.ts';
import { GATEWAY } from './lab.ts';
import type { Report } from './report.ts';
import { type Group, type GuestRow, judged, type Seen } from './row.ts';
import { reporting, tap } from './specs.ts';

const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64');

/** Nearly all that a spec may have of it. */
const LARGE = Buffer.alloc(1_000_000, 'sixteen letters.');
const USER_DATA = '#!/bin/sh\necho hello\n';
const META_DATA = 'instance-id: i-asking\nlocal-hostname: asker\ntags:\n  role: front\n';
const METADATA = {
  'meta-data': META_DATA,
  'user-data': USER_DATA,
  color: 'green',
  octets: Buffer.from([0xff, 0x00, 0x80, 0x0a]),
  large: LARGE,
};
const encoded = (metadata: Readonly<Record<string, string | Uint8Array>>): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, base64(value)]));

/** What the guest asks for, by a name: interface, method, path, headers. */
const ASKED: Readonly<Record<string, string>> = {
  root: 'eth0,GET,/',
  latest: 'eth0,GET,/latest',
  'latest-slash': 'eth0,GET,/latest/',
  document: 'eth0,GET,/latest/meta-data',
  listing: 'eth0,GET,/latest/meta-data/',
  key: 'eth0,GET,/latest/meta-data/instance-id',
  nested: 'eth0,GET,/latest/meta-data/tags/role',
  'user-data': 'eth0,GET,/latest/user-data',
  color: 'eth0,GET,/latest/color',
  slashes: 'eth0,GET,//latest///color/',
  octets: 'eth0,GET,/latest/octets',
  large: 'eth0,GET,/latest/large',
  json: 'eth0,GET,/latest/meta-data,Accept:application/json',
  missing: 'eth0,GET,/latest/no-such-key',
  token: 'eth0,PUT,/latest/api/token,X-metadata-token-ttl-seconds:60',
  'with-token': 'eth0,GET,/latest/color,X-metadata-token:@',
  'bad-token': 'eth0,GET,/latest/color,X-metadata-token:guessed',
  'no-ttl': 'eth0,PUT,/latest/api/token',
  forwarded: 'eth0,PUT,/latest/api/token,X-metadata-token-ttl-seconds:60,X-Forwarded-For:10.0.0.1',
  post: 'eth0,POST,/latest/color',
  'other-interface': 'eth1,GET,/latest/color',
};
const words = (asked: Readonly<Record<string, string>>): string[] =>
  Object.entries(asked).map(([name, what]) => `http=${name},${what}`);

/** `200 green`, or `none` where nothing came back. */
const answer = (report: Report | undefined, name: string): string => {
  const [fact] = report?.all('http', name) ?? [];
  const [, status, body] = /status=(\S+) .*?body=(.*)/.exec(fact?.text ?? '') ?? [];
  return fact ? `${status}${body ? ` ${body}` : ''}` : 'not asked';
};
const sums = (report: Report | undefined, name: string): string =>
  ['bytes', 'md5'].map((key) => report?.value('http', name, key)).join(' ');
const sumsOf = (bytes: Uint8Array): string => `${bytes.length} ${createHash('md5').update(bytes).digest('hex')}`;

/** The guest asks once it has an address: in its second report. */
const served = (row: string, name: string, expected: string): GuestRow => ({
  row: `metadata/${row}`,
  expected,
  guest: ({ reports }) => answer(reports[1], name),
});

const textOn = ({ report }: Seen, disk: string, file: string): string =>
  report
    .all('text', disk)
    .find(({ text }) => text.startsWith(`${disk} ./${file} `))
    ?.text.split(' ')
    .slice(2)
    .join(' ') ?? 'not there';

export const metadata: Group = {
  scenes: [
    {
      name: 'metadata',
      guests: (images) => ({
        asking: reporting(images, {
          interfaces: [tap('eth0', { allowMetadataReq: true }), tap('eth1')],
          metadata: encoded(METADATA),
        }),
        neighbour: reporting(images, {
          interfaces: [tap('eth0', { allowMetadataReq: true })],
          metadata: encoded({ color: 'red' }),
        }),
      }),
      next: async ({ ask, first }) => {
        await ask('asking', ...words(ASKED));
        await ask('neighbour', ...words({ color: 'eth0,GET,/latest/color', octets: 'eth0,GET,/latest/octets' }));
        // Whoever says that he is another is nobody.
        const { guestMac, addresses } = first('asking').status?.networkInterfaces.eth0 ?? {};
        await ask(
          'neighbour',
          `become=eth0,${guestMac},${addresses?.[0]}/24,${GATEWAY}`,
          ...words({ stolen: 'eth0,GET,/latest/color' }),
        );
        await ask('asking', ...words({ color: 'eth0,GET,/latest/color' }));
        return {};
      },
      rows: [
        served('allow_metadata_req', 'color', '200 green'),
        served('allow_metadata_req-not-on-the-other-interface', 'other-interface', 'none'),
        served('path-root', 'root', '200 latest/'),
        served('path-latest', 'latest', '200 color|large|meta-data/|network-config|octets|user-data|vendor-data'),
        served(
          'path-latest-with-a-slash',
          'latest-slash',
          '200 color|large|meta-data/|network-config|octets|user-data|vendor-data',
        ),
        served(
          'path-meta-data-is-the-document',
          'document',
          `200 ${META_DATA.replaceAll('\n', '|')}instance_id: i-asking|local_hostname: asker|`,
        ),
        served(
          'path-meta-data-with-a-slash-is-the-list',
          'listing',
          '200 instance-id|instance_id|local-hostname|local_hostname|tags/',
        ),
        served('path-of-a-key', 'key', '200 i-asking'),
        served('path-nested', 'nested', '200 front'),
        served('path-user-data', 'user-data', `200 ${USER_DATA.replaceAll('\n', '|')}`),
        served('path-with-slashes-more', 'slashes', '200 green'),
        served('path-unknown', 'missing', '404 Resource not found: /latest/no-such-key.'),
        served(
          'json',
          'json',
          '200 {"instance-id":"i-asking","instance_id":"i-asking","local-hostname":"asker","local_hostname":"asker","tags":{"role":"front"}}',
        ),
        {
          row: 'metadata/values-are-decoded-octet-by-octet',
          expected: sumsOf(METADATA.octets),
          guest: ({ reports }) => sums(reports[1], 'octets'),
        },
        {
          row: 'metadata/a-megabyte',
          expected: sumsOf(LARGE),
          guest: ({ reports }) => sums(reports[1], 'large'),
        },
        {
          row: 'metadata/token',
          expected: '200, 200 green with it',
          guest: ({ reports }) =>
            `${answer(reports[1], 'token').split(' ')[0]}, ${answer(reports[1], 'with-token')} with it`,
        },
        served('token-wrong', 'bad-token', '401 MMDS token not valid.'),
        {
          row: 'metadata/token-without-a-time-to-live',
          expected: '400 Token time to live value not found.',
          guest: ({ reports }) => `${answer(reports[1], 'no-ttl').split('.')[0]}.`,
        },
        {
          row: 'metadata/token-for-a-proxy',
          expected: '400 X-Forwarded-For',
          guest: ({ reports }) => {
            const [status, ...text] = answer(reports[1], 'forwarded').split(' ');
            return `${status} ${text.at(-1)}`;
          },
        },
        {
          row: 'metadata/method-unknown',
          expected: '405',
          guest: ({ reports }) => answer(reports[1], 'post').split(' ')[0] ?? '',
        },
        {
          row: 'metadata/each-its-own',
          expected: '200 red, and 404 of what only the other has',
          guest: ({ guests }) => {
            const report = guests.neighbour?.reports[1];
            return `${answer(report, 'color')}, and ${answer(report, 'octets').split(' ')[0]} of what only the other has`;
          },
        },
        {
          row: 'metadata/not-for-who-takes-the-others-mac-and-address',
          expected: 'none',
          guest: ({ guests }) => answer(guests.neighbour?.reports[2], 'stolen'),
        },
        {
          row: 'metadata/still-there-for-whose-they-are',
          expected: '200 green',
          guest: ({ reports }) => answer(reports[2], 'color'),
        },
      ],
    },
    {
      name: 'seed',
      guests: (images) => ({
        disk: reporting(images, {
          interfaces: [tap('eth0')],
          metadata: encoded({ 'user-data': USER_DATA, 'meta-data': META_DATA, color: 'green' }),
        }),
      }),
      rows: [
        {
          row: 'metadata/disk-where-no-interface-may-ask',
          expected: 'vdb, vfat, CIDATA, ro',
          guest: ({ report }) => {
            const blkid = report.text('blkid', report.all('disk').at(-1)?.name ?? '');
            const [, type] = / TYPE=(\S+)/.exec(blkid) ?? [];
            const [, label] = / LABEL=(\S+)/.exec(blkid) ?? [];
            const disk = report.all('disk').at(-1)?.name ?? '';
            return `${disk}, ${type}, ${label}, ${report.value('disk', disk, 'ro') === '1' ? 'ro' : 'rw'}`;
          },
          host: ({ record }) =>
            judged(record.spec?.volumes.length === 1, `${record.spec?.volumes.length} volume in the spec`),
        },
        {
          row: 'metadata/disk-user-data',
          expected: USER_DATA.replaceAll('\n', '|'),
          guest: (seen) => textOn(seen, 'vdb', 'user-data'),
        },
        {
          row: 'metadata/disk-meta-data',
          expected: 'instance-id: i-asking',
          guest: (seen) => textOn(seen, 'vdb', 'meta-data').split('|')[0] ?? '',
        },
        {
          row: 'metadata/disk-another-key',
          expected: 'green',
          guest: (seen) => textOn(seen, 'vdb', 'color'),
        },
      ],
    },
  ],
  refused: [
    {
      row: 'metadata/no-base64',
      spec: withMetadata({ color: 'green!' }),
      field: 'metadata[color]',
      words: 'is no base64',
    },
    {
      row: 'metadata/more-than-the-limit',
      spec: withMetadata({ large: base64(Buffer.alloc((1 << 20) + 1)) }),
      field: 'metadata',
      words: 'at most 1048576',
    },
    {
      row: 'metadata/key-that-is-a-path',
      spec: withMetadata({ '../color': base64('green') }),
      field: 'metadata[../color]',
      words: 'the key must have',
    },
    {
      row: 'metadata/meta-data-too-long-to-be-taken-apart',
      spec: withMetadata({ 'meta-data': base64(`note: ${'x'.repeat(20_000)}`) }),
      field: 'metadata[meta-data]',
      words: 'at most 16384',
    },
  ],
};

function withMetadata(given: Readonly<Record<string, string>>) {
  return (images: Images) => reporting(images, { metadata: { ...given } });
}
