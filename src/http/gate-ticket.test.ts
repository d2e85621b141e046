import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeGate } from '../../test/fakes/fake-gate.ts';
import { endpointFor } from '../../test/front/front-fixture.ts';
import type { Admission, Lease, Waiter } from '../control/gate.ts';
import { GateTicket } from './gate-ticket.ts';

const MODEL = 'm';

/** Tells the ticket as its owner has to, and does at once what `whenGranted` wants. */
class Owner implements Waiter {
  readonly ticket: GateTicket;
  readonly calls: string[] = [];
  whenGranted: (() => void) | null = null;

  constructor(gate: FakeGate) {
    this.ticket = new GateTicket(gate);
  }

  granted(lease: Lease): void {
    this.ticket.granted(lease);
    this.calls.push('granted');
    this.whenGranted?.();
  }

  refused(): void {
    this.ticket.refused();
    this.calls.push('refused');
  }

  cut(): void {}
}

function start(slots = 1, queueSize = 10) {
  const gate = new FakeGate();
  // Nothing is connected to it.
  const model = gate.add(MODEL, endpointFor(1, slots), slots, queueSize);
  return { gate, model, owner: new Owner(gate) };
}

test('a lease that comes within the admission is ended once, also from within', () => {
  const { gate, owner } = start();
  owner.ticket.admit(MODEL, '/x?y', null, owner);
  assert.ok(owner.ticket.isLeased);
  owner.ticket.end('answered');
  owner.ticket.end('cut');
  owner.whenGranted = () => owner.ticket.end('client_left');
  owner.ticket.admit(MODEL, '/x', null, owner);
  assert.equal(owner.ticket.isLeased, false);
  // Nothing of the two before is left in the way of a third.
  owner.whenGranted = null;
  owner.ticket.admit(MODEL, '/x', null, owner);
  owner.ticket.end('answered');
  assert.deepEqual(gate.details('finish'), ['answered', 'client_left', 'answered']);
  assert.equal(gate.runningCount, 0);
});

test('one that waits is admitted once, and leaves once', () => {
  const { gate, model, owner } = start();
  model.held = true;
  owner.ticket.admit(MODEL, '/x', null, owner);
  owner.ticket.admit(MODEL, '/x', null, owner);
  owner.ticket.end('client_left');
  owner.ticket.end('client_left');
  assert.equal(gate.details('admit').length, 1);
  assert.equal(gate.details('leave').length, 1);
  assert.equal(gate.waitingCount, 0);
});

test('a refusal within the admission leaves nothing, and a lease that was given back comes again', () => {
  const { gate, model, owner } = start(0, 0);
  owner.ticket.admit(MODEL, '/x', null, owner);
  assert.deepEqual(owner.calls, ['refused']);
  model.slots = 1;
  owner.ticket.admit(MODEL, '/x', null, owner);
  owner.ticket.giveBack('not_sent', 'why');
  owner.ticket.end('answered');
  assert.deepEqual(owner.calls, ['refused', 'granted', 'granted']);
  assert.deepEqual(gate.details('finish'), ['answered']);
});

test('the path goes without its query, and patience only where it was wished for', () => {
  const { gate, owner } = start();
  const admissions: Admission[] = [];
  const admit = gate.admit.bind(gate);
  gate.admit = (admission, waiter) => {
    admissions.push(admission);
    return admit(admission, waiter);
  };
  owner.ticket.admit(MODEL, '/x?y=1', 500, owner);
  owner.ticket.end('answered');
  owner.ticket.admit(MODEL, '/x', null, owner);
  owner.ticket.end('answered');
  assert.deepEqual(admissions, [
    { model: MODEL, path: '/x', body: null, queueTimeoutMs: 500 },
    { model: MODEL, path: '/x', body: null },
  ]);
});
