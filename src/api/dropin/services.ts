import { MicroVMExec } from '../../gen/dropin/exec/microvmexec_pb.ts';
import { MicroVM } from '../../gen/dropin/services/microvms_pb.ts';
import { MicroVMSSHProxy } from '../../gen/dropin/ssh/microvmsshproxy_pb.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Services } from '../../service/services.ts';
import { type Served, served } from '../served.ts';
import { encodedLists } from './encoded.ts';
import { DropinExec } from './exec.ts';
import { DropinMicroVms } from './microvms.ts';
import { DropinSshProxy } from './ssh-proxy.ts';

/** The surface for today's clients: the same verbs over gRPC and HTTP. */
export interface Dropin {
  readonly microvms: DropinMicroVms;
  readonly grpc: readonly Served[];
}

export function dropin(services: Services, clock: Pick<Clock, 'elapsed'>): Dropin {
  const microvms = new DropinMicroVms(services, clock);
  return {
    microvms,
    grpc: [
      served(MicroVM, microvms, encodedLists(services)),
      served(MicroVMExec, new DropinExec(services)),
      served(MicroVMSSHProxy, new DropinSshProxy(services)),
    ],
  };
}
