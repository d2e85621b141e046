/** The Responses API with OpenAI's client: stored responses, and those made in the background, beside models that want the same device. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { startWithDearStarts } from '../fixtures/dear-starts.ts';
import {
  type RunningGateway,
  simulatedConfig,
  simulatedModel,
  startGateway,
  until,
} from '../fixtures/gateway.ts';
import { chat } from '../fixtures/requests.ts';

/** Answers of about 40 ms a token. */
function model(keys: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return simulatedModel({
    loadSeconds: 0.05,
    args: ['--sim-tokens-per-second', 25, '--sim-sleep-seconds', 0.02, '--sim-wake-seconds', 0.02],
    keys,
  });
}

/** One device, and turns that end as soon as somebody waits. */
function machine(models: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return simulatedConfig(models, { scheduling: { switch_share: 0.9 } });
}

function clientOf(gateway: RunningGateway): OpenAI {
  return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 });
}

function tokens(count: number) {
  // vLLM's own field, which the client passes on.
  return { model: 'writer', input: 'Tell me more', max_output_tokens: count, ignore_eos: true } as const;
}

async function refusalOf(
  promise: PromiseLike<unknown>,
): Promise<{ status: number | undefined; code: string }> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof OpenAI.APIError, String(error));
    return { status: error.status, code: String(error.code) };
  }
  return assert.fail('it was answered');
}

function logged(gateway: RunningGateway, pattern: RegExp): boolean {
  return gateway.log.some(({ msg }) => pattern.test(msg));
}

describe('responses', { concurrency: true }, () => {
  test('stored ones are there as long as their engine, and others are refused with the reason', async () => {
    const gateway = await startGateway({
      config: machine({ writer: model({ responses_store: true, sleep: 'off' }), other: model() }),
    });
    const client = clientOf(gateway);
    try {
      const made = await client.responses.create(tokens(4));
      assert.deepEqual((await client.responses.retrieve(made.id)).output, made.output);
      let streamed = '';
      for await (const event of await client.responses.create({ ...tokens(4), stream: true }))
        if (event.type === 'response.completed') streamed = event.response.id;
      assert.equal((await client.responses.retrieve(streamed)).status, 'incomplete');
      const next = await client.responses.create({ ...tokens(4), previous_response_id: made.id });
      assert.equal(next.previous_response_id, made.id);
      assert.equal(
        (await refusalOf(client.responses.cancel(made.id))).status,
        400,
        'vLLM: it is not in the background',
      );
      assert.equal((await refusalOf(client.responses.delete(made.id))).status, 405, 'vLLM has no such route');
      const elsewhere = { ...tokens(4), model: 'other' };
      const off = await refusalOf(client.responses.create({ ...elsewhere, background: true }));
      assert.deepEqual(off, { status: 400, code: 'background_off' });
      assert.equal(
        (await gateway.status()).models['other']?.state,
        'cold',
        'no engine was started to refuse it',
      );

      await client.responses.create(elsewhere);
      assert.notEqual((await gateway.status()).models['writer']?.state, 'awake');
      const gone = { status: 404, code: 'response_not_found' };
      await until('it is stopped', async () => (await gateway.status()).models['writer']?.state === 'cold');
      assert.deepEqual(await refusalOf(client.responses.retrieve(made.id)), gone);
      assert.deepEqual(await refusalOf(client.responses.cancel(made.id)), gone);
      assert.deepEqual(
        await refusalOf(client.responses.create({ ...tokens(4), previous_response_id: made.id })),
        gone,
      );
      assert.equal((await gateway.status()).models['writer']?.state, 'cold', 'no engine was started for it');
    } finally {
      await gateway.stop();
    }
  });

  test('a background one is finished before the model that waits for its device gets it', async () => {
    // Dear starts: the engine sleeps afterwards and keeps what it made. One that is stopped takes it along.
    const config = machine({ writer: model({ responses_store: true }), other: model() });
    const gateway = await startWithDearStarts(config, { writer: 20, other: 20 });
    const client = clientOf(gateway);
    try {
      const queued = await client.responses.create({ ...tokens(60), background: true });
      assert.equal(queued.status, 'queued');
      assert.equal(await gateway.metric('vllm_gateway_background_responses{model="writer"}'), 1);
      assert.equal((await gateway.status()).models['writer']?.running, 1);
      let otherAnswered = false;
      const other = chat(gateway.url, 'other').finally(() => {
        otherAnswered = true;
      });
      await until('it is asked to leave', () => logged(gateway, /^drain writer/));
      const done = await until('it is completed', async () => {
        const response = await client.responses.retrieve(queued.id);
        assert.ok(response.status !== 'queued' || !otherAnswered, 'its engine was taken from it');
        return response.status === 'queued' ? null : response;
      });
      assert.deepEqual([done.status, done.usage?.output_tokens], ['incomplete', 60]);
      assert.equal((await other).status, 200);
      assert.equal(await gateway.metric('vllm_gateway_background_responses{model="writer"}'), 0);
      const told = new RegExp(`background response ${queued.id} of writer has ended: incomplete`);
      await until('it is told', () => logged(gateway, told));
      assert.deepEqual(
        gateway.log.filter(({ level }) => level >= 50),
        [],
      );
    } finally {
      await gateway.stop();
    }
  });

  test('a background one that outlasts the drain time is cancelled, and told of', async () => {
    const gateway = await startGateway({
      config: machine({
        writer: model({ responses_store: true, drain_timeout: 1, sleep: 'off' }),
        other: model(),
      }),
    });
    const client = clientOf(gateway);
    try {
      const queued = await client.responses.create({ ...tokens(10_000), background: true });
      assert.equal((await chat(gateway.url, 'other')).status, 200);
      const told = new RegExp(
        `background response ${queued.id} of writer: it is cancelled: .*other models wait`,
      );
      await until('it is told', () => logged(gateway, told));
      assert.deepEqual(await refusalOf(client.responses.retrieve(queued.id)), {
        status: 404,
        code: 'response_not_found',
      });
    } finally {
      await gateway.stop();
    }
  });

  test('a background one is cancelled by its client, or by its time, and the model is free then', async () => {
    const gateway = await startGateway({
      config: machine({
        writer: model({ responses_store: true, background_timeout: 1 }),
        slow: model({ responses_store: true }),
      }),
    });
    const client = clientOf(gateway);
    const isFree = (name: string) =>
      until(`${name} is free`, async () => (await gateway.status()).models[name]?.running === 0);
    try {
      const late = await client.responses.create({ ...tokens(10_000), background: true });
      await isFree('writer');
      assert.equal((await client.responses.retrieve(late.id)).status, 'cancelled');
      const begun = await client.responses.create({ ...tokens(10_000), model: 'slow', background: true });
      assert.equal((await client.responses.cancel(begun.id)).status, 'cancelled');
      await isFree('slow');
      await until('it is told', () =>
        logged(gateway, new RegExp(`${begun.id} of slow has ended: cancelled`)),
      );
    } finally {
      await gateway.stop();
    }
  });

  test('a background stream is left and taken up again', async () => {
    const gateway = await startGateway({ config: machine({ writer: model({ responses_store: true }) }) });
    const client = clientOf(gateway);
    try {
      const stream = await client.responses.create({ ...tokens(40), background: true, stream: true });
      let id = '';
      let last = 0;
      for await (const event of stream) {
        if (event.type === 'response.created') id = event.response.id;
        last = event.sequence_number;
        if (event.type === 'response.output_text.delta') break;
      }
      const kinds: string[] = [];
      const again = await client.responses.retrieve(id, { stream: true, starting_after: last });
      for await (const event of again) {
        assert.equal(event.sequence_number, last + 1);
        last = event.sequence_number;
        kinds.push(event.type);
      }
      assert.equal(kinds.filter((kind) => kind === 'response.output_text.delta').length, 39);
      assert.equal(kinds.at(-1), 'response.completed');
    } finally {
      await gateway.stop();
    }
  });

  test('after a restart of the gateway the client says whose response it is', async () => {
    const config = machine({ writer: model({ responses_store: true }) });
    const first = await startGateway({ config });
    const made = await clientOf(first).responses.create(tokens(4));
    await first.kill({ keep: true });
    const second = await startGateway({ config, directory: first.directory });
    try {
      const client = clientOf(second);
      const isServing = async () => (await second.status()).models['writer']?.state === 'awake';
      await until('its engine is adopted', isServing);
      assert.equal((await refusalOf(client.responses.retrieve(made.id))).code, 'response_not_found');
      const headers = { 'x-model': 'writer' };
      const found = await client.responses.retrieve(made.id, {}, { headers });
      assert.deepEqual(found.output, made.output);
    } finally {
      await second.stop();
    }
  });

  test('a sleeping engine still has its responses, and one goes on from them', async () => {
    const config = machine({ writer: model({ responses_store: true }), other: model() });
    const gateway = await startWithDearStarts(config, { writer: 30, other: 30 });
    const client = clientOf(gateway);
    try {
      await until('the host is read', async () => {
        const status = (await gateway.status()) as unknown as {
          readonly host_memory: { readonly budget_mib: number | null } | null;
        };
        return typeof status.host_memory?.budget_mib === 'number';
      });
      const made = await client.responses.create(tokens(4));
      assert.equal((await chat(gateway.url, 'other')).status, 200);
      assert.equal((await gateway.status()).models['writer']?.state, 'asleep');
      assert.deepEqual((await client.responses.retrieve(made.id)).output, made.output);
      assert.equal((await gateway.status()).models['writer']?.state, 'asleep', 'nobody gave way for it');
      const next = await client.responses.create({ ...tokens(4), previous_response_id: made.id });
      assert.equal(next.status, 'incomplete', 'woken, it goes on from what it had');
    } finally {
      await gateway.stop();
    }
  });
});
