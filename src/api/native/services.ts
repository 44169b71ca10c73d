import { GuestService } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import { HostService } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import { ImageService } from '../../gen/flintlock/microvm/v1/images_pb.ts';
import { MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { Services } from '../../service/services.ts';
import { type Served, served } from '../served.ts';
import { encodedLists } from './encoded.ts';
import { guestFiles } from './guest-files.ts';
import { Guests } from './guests.ts';
import { Hosts } from './hosts.ts';
import { Images } from './images.ts';
import { MicroVms } from './microvms.ts';

/** The native surface's verbs: gRPC serves all of them, HTTP those that `http/routes.ts` names. */
export interface Native {
  readonly microvms: MicroVms;
  readonly hosts: Hosts;
  readonly images: Images;
  readonly guests: Guests;
  readonly grpc: readonly Served[];
}

export function native(services: Services): Native {
  const microvms = new MicroVms(services);
  const hosts = new Hosts(services);
  const images = new Images(services);
  const guests = new Guests(services);
  const grpc = [
    served(MicroVMService, microvms, encodedLists(services)),
    served(HostService, hosts),
    served(ImageService, images),
    served(GuestService, Object.assign(guests, guestFiles(services))),
  ];
  return { microvms, hosts, images, guests, grpc };
}
