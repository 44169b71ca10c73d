import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';

/** One question to a Firecracker that has not started its guest; none of them needs KVM. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  /** As it is sent; absent: no body. */
  readonly body?: string;
}

export interface Answered extends Exchange {
  readonly status: number;
  readonly text: string;
}

/** @param directory - where the files are made that they name: the same for all programs that are compared */
export function makeExchanges(directory: string): readonly Exchange[] {
  const kernel = join(directory, 'kernel');
  const disk = join(directory, 'disk');
  mkdirSync(directory, { recursive: true });
  // Of the program before.
  for (const name of ['v', 'w']) rmSync(join(directory, name), { force: true });
  writeFileSync(kernel, '\x7fELF');
  writeFileSync(disk, new Uint8Array(4096));
  const put = (path: string, body: unknown): Exchange => ({
    ...{ method: 'PUT', path },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const get = (path: string): Exchange => ({ method: 'GET', path });
  const drive = { drive_id: 'a', is_root_device: false, path_on_host: disk };
  const nic = { iface_id: 'n', host_dev_name: 'a-name-that-is-too-long' };
  return [
    ...['/', '/version', '/machine-config', '/vm/config', '/nonesuch', '/actions'].map(get),
    put('/actions', { action_type: 'InstanceStart' }),
    put('/actions', { action_type: 'SendCtrlAltDel' }),
    put('/actions', { action_type: 'FlushMetrics' }),
    put('/actions', { action_type: 'Dance' }),
    put('/actions', {}),
    put('/actions', { action_type: 1 }),
    ...[
      { vcpu_count: 0, mem_size_mib: 64 },
      { vcpu_count: 33, mem_size_mib: 64 },
      { vcpu_count: 300, mem_size_mib: 64 },
      { vcpu_count: -1, mem_size_mib: 64 },
      { vcpu_count: '2', mem_size_mib: 64 },
      { vcpu_count: 1.5, mem_size_mib: 64 },
      { vcpu_count: 2 },
      { mem_size_mib: 64 },
      { vcpu_count: 3, mem_size_mib: 64, smt: true },
      { vcpu_count: 2, mem_size_mib: 64, smt: 'yes' },
      { vcpu_count: 2, mem_size_mib: 0 },
      { vcpu_count: 2, mem_size_mib: 64, cpus: 2 },
      { vcpu_count: 2, mem_size_mib: 63, huge_pages: '2M' },
      { vcpu_count: 2, mem_size_mib: 64, huge_pages: '1G' },
      { vcpu_count: 32, mem_size_mib: 64, smt: true },
      { vcpu_count: 2, mem_size_mib: 128 },
    ].map((body) => put('/machine-config', body)),
    get('/machine-config'),
    ...[
      '',
      '{',
      '{"vcpu_count"',
      '{"vcpu_count":1,}',
      '{"vcpu_count":1 "a"}',
      '[]',
      '7',
      'null',
      'x',
      '{"vcpu_count":null}',
      '{}{}',
    ].map((body) => put('/machine-config', body)),
    put('/machine-config', '{"vcpu_count":1,"vcpu_count":2}'),
    put('/machine-config', '{"vcpu_count": 1,\n "mem_size_mib": 64,\n "x": 1}'),
    put('/boot-source', { kernel_image_path: join(directory, 'nothing') }),
    put('/boot-source', { kernel_image_path: kernel, initrd_path: join(directory, 'nothing') }),
    put('/boot-source', { kernel_image_path: kernel, args: 'x' }),
    put('/boot-source', { kernel_image_path: null }),
    put('/boot-source', { boot_args: 'x' }),
    put('/boot-source', { kernel_image_path: kernel, boot_args: 'x'.repeat(2048) }),
    put('/boot-source', { kernel_image_path: kernel, boot_args: 'x'.repeat(2047) }),
    put('/boot-source', { kernel_image_path: kernel, boot_args: 'é\n' }),
    put('/boot-source', { kernel_image_path: kernel, initrd_path: kernel, boot_args: 'console=ttyS0' }),
    put('/drives/a-b', { ...drive, drive_id: 'a-b' }),
    put('/drives/', drive),
    put('/drives', drive),
    put('/drives/b', drive),
    put('/drives/a', { ...drive, path_on_host: directory }),
    put('/drives/a', { ...drive, path_on_host: join(directory, 'nothing') }),
    put('/drives/a', { drive_id: 'a', path_on_host: disk }),
    put('/drives/a', { drive_id: 'a', is_root_device: false }),
    put('/drives/a', { ...drive, cache_type: 'None' }),
    put('/drives/a', { ...drive, cache_type: 'Writeback', is_read_only: false }),
    put('/drives/b', { ...drive, drive_id: 'b', is_read_only: true }),
    put('/drives/r', { ...drive, drive_id: 'r', is_root_device: true }),
    put('/drives/s', { ...drive, drive_id: 's', is_root_device: true }),
    put('/network-interfaces/n', nic),
    put('/network-interfaces/m', nic),
    put('/network-interfaces/n', { ...nic, guest_mac: 'zz' }),
    put('/network-interfaces/n', { ...nic, mtu: 70_000 }),
    put('/network-interfaces/n', { ...nic, tap: 'x' }),
    put('/network-interfaces/n', { iface_id: 'n' }),
    put('/vsock', { guest_cid: 3 }),
    put('/vsock', { guest_cid: -1, uds_path: join(directory, 'v') }),
    put('/vsock', { guest_cid: 4_294_967_296, uds_path: join(directory, 'v') }),
    put('/vsock', { guest_cid: 3, uds_path: join(directory, 'v'), path: 'x' }),
    put('/vsock', { guest_cid: 3, uds_path: disk }),
    put('/vsock', { guest_cid: 3, uds_path: join(directory, 'nothing', 'v') }),
    put('/vsock', { guest_cid: 2, uds_path: join(directory, 'v') }),
    put('/vsock', { guest_cid: 3, uds_path: join(directory, 'w') }),
    put('/vsock', { guest_cid: 4, uds_path: join(directory, 'w') }),
    get('/mmds'),
    { method: 'PATCH', path: '/mmds', body: '{"a":"b"}' },
    ...[
      {},
      { network_interfaces: [] },
      { network_interfaces: ['n'] },
      { network_interfaces: 'n' },
      { network_interfaces: [1] },
      { network_interfaces: ['n'], version: 'V3' },
      { network_interfaces: ['n'], version: 2 },
      { network_interfaces: ['n'], ipv4_address: '10.0.0.1' },
      { network_interfaces: ['n'], ipv4_address: '169.254.0.5' },
      { network_interfaces: ['n'], ipv4_address: 'here' },
      { network_interfaces: ['n'], token: 'x' },
    ].map((body) => put('/mmds/config', body)),
    put('/mmds/data', {}),
    put('/mmds', ''),
    put('/mmds', '{'),
    put('/mmds', '{"latest":{"meta-data":"instance-id: i\\n","b":["c",1,null,true]}}x'),
    put('/mmds', { latest: { 'user-data': 'é', 'meta-data': 'instance-id: i\n', b: ['c', 1, null, true] } }),
    get('/mmds'),
    { method: 'PATCH', path: '/mmds', body: '{"latest":{"b":null,"more":{"x":"y"}}}' },
    get('/mmds'),
    { method: 'PATCH', path: '/mmds', body: JSON.stringify({ long: 'x'.repeat(30_000) }) },
    { method: 'PATCH', path: '/mmds', body: JSON.stringify({ longer: 'x'.repeat(30_000) }) },
    put('/mmds', {}),
    get('/mmds'),
    put('/entropy', { x: 1 }),
    put('/entropy', {}),
    put('/balloon', { amount_mib: 0 }),
    put('/balloon', { amount_mib: 0, deflate_on_oom: true, x: 1 }),
    put('/balloon', { amount_mib: 1 << 30, deflate_on_oom: true }),
    put('/balloon', { amount_mib: 0, deflate_on_oom: true, free_page_reporting: true }),
    get('/vm/config'),
    { method: 'PATCH', path: '/vm', body: '{"state":"Paused"}' },
    { method: 'PATCH', path: '/vm', body: '{"state":"Asleep"}' },
    { method: 'PATCH', path: '/vm' },
    put('/vm', { state: 'Paused' }),
    put('/nonesuch', {}),
    { method: 'PUT', path: '/entropy' },
    { method: 'GET', path: '/', body: '{}' },
    { method: 'POST', path: '/', body: '{}' },
    get('/'),
  ];
}

/** Asks all of them, one after the other, on one connection. */
export async function askAll(socketPath: string, exchanges: readonly Exchange[]): Promise<readonly Answered[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const answers: Answered[] = [];
    for (const exchange of exchanges) answers.push({ ...exchange, ...(await ask(socketPath, agent, exchange)) });
    return answers;
  } finally {
    agent.destroy();
  }
}

function ask(
  socketPath: string,
  agent: Agent,
  { method, path, body }: Exchange,
): Promise<{ readonly status: number; readonly text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const asked = request({ ...{ socketPath, agent, method, path, headers, timeout: 60_000 } }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    answer.once('error', reject);
  });
  asked.once('error', reject);
  asked.once('timeout', () => asked.destroy(new Error(`no answer to ${method} ${path}`)));
  asked.end(body);
  return promise;
}
