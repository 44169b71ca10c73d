import { expect, test } from 'vitest';
import { MicroVM, file_dropin_services_microvms as services } from '../../gen/dropin/services/microvms_pb.ts';
import { file_dropin_types_microvm as types } from '../../gen/dropin/types/microvm_pb.ts';

/** As published, in the words of the clients' own descriptions; what is ours alone begins at 20. */
const PUBLISHED: Readonly<Record<string, string>> = {
  CreateMicroVMRequest: 'microvm 1, metadata 2',
  CreateMicroVMResponse: 'microvm 1',
  GetMicroVMRequest: 'uid 1',
  GetMicroVMResponse: 'microvm 1',
  DeleteMicroVMRequest: 'uid 1',
  ListMicroVMsRequest: 'namespace 1, name 2?',
  ListMicroVMsResponse: 'microvm 1*',
  ListMessage: 'microvm 1',
  MicroVM: 'version 1, spec 2, status 3',
  MicroVMSpec:
    'id 1, namespace 2, labels 3, vcpu 4, memory_in_mb 5, kernel 6, initrd 7?, root_volume 8, additional_volumes 9*, ' +
    'interfaces 10*, metadata 11, created_at 12, updated_at 13, deleted_at 14, uid 15?, provider 16?, allow_guest_agent 17',
  Kernel: 'image 1, cmdline 2, filename 3?, add_network_config 4',
  Initrd: 'image 1, filename 2?',
  NetworkInterface: 'device_id 1, type 2, guest_mac 4?, address 5?, overrides 6?',
  StaticAddress: 'address 1, gateway 2?, nameservers 3*',
  NetworkOverrides: 'bridge_name 1?',
  Volume: 'id 1, is_read_only 2, mount_point 3?, source 4, partition_id 5?, size_in_mb 6?',
  VolumeSource: 'container_source 1?, virtiofs_source 2?',
  MicroVMStatus:
    'state 1, volumes 2, kernel_mount 3, initrd_mount 4, network_interfaces 5, retry 6, vsock_path 7, message 20, reason 21',
  VolumeStatus: 'mount 1',
  Mount: 'type 1, source 2',
  NetworkInterfaceStatus: 'host_device_name 1, index 2, mac_address 3',
  // In the order of declaration: no publication of these was read.
  ServerInfoResponse: 'version 1, uptime 2, exec 3, ssh_proxy 4',
  VersionInfo: 'version 1, build_date 2, commit_hash 3',
  GuestAgentServiceInfo: 'enabled 1, address 2',
};

test('every message has the tags as published', () => {
  const found = [services, types].flatMap(({ messages }) =>
    messages.map(({ name, fields }): [string, string] => [
      name,
      fields
        .map((field) => {
          const mark = field.fieldKind === 'list' ? '*' : field.proto.proto3Optional ? '?' : '';
          return `${field.name} ${field.number}${mark}`;
        })
        .join(', '),
    ]),
  );
  expect(Object.fromEntries(found)).toEqual(PUBLISHED);
});

test('enums and the service are as published', () => {
  const enums = types.messages.flatMap((message) => message.nestedEnums);
  expect(enums.map(({ name, values }) => `${name}: ${values.map((v) => `${v.name} ${v.number}`).join(', ')}`)).toEqual([
    'IfaceType: MACVTAP 0, TAP 1',
    'MicroVMState: PENDING 0, CREATED 1, FAILED 2, DELETING 3',
    'MountType: DEV 0, HOSTPATH 1',
  ]);
  expect(MicroVM.typeName).toBe('microvm.services.api.v1alpha1.MicroVM');
  expect(
    MicroVM.methods.map(({ name, methodKind, output }) => `${name} ${methodKind} ${output.typeName.split('.').at(-1)}`),
  ).toEqual([
    'CreateMicroVM unary CreateMicroVMResponse',
    'DeleteMicroVM unary Empty',
    'GetMicroVM unary GetMicroVMResponse',
    'ListMicroVMs unary ListMicroVMsResponse',
    'ListMicroVMsStream server_streaming ListMessage',
    'ServerInfo unary ServerInfoResponse',
  ]);
  expect(MicroVM.method.deleteMicroVM.output.typeName).toBe('google.protobuf.Empty');
});
