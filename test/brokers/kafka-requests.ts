import { exchange } from './handshake.ts'

/** Requests that kafkajs does not make, or makes only on the way to something else. Each goes to the first of `host:port,…`. */

const API_VERSIONS = 18
const FIND_COORDINATOR = 10
const HEARTBEAT = 12
const LEAVE_GROUP = 13

const UNKNOWN_MEMBER_ID = 25

/** ApiVersions version 0, which every release answers; none tells its release. */
export async function probeKafka(brokers: string): Promise<void> {
  const answer = await ask(brokers, API_VERSIONS, 0, [])
  if (answer.readInt16BE(0) !== 0) throw new Error(`${brokers} did not answer ApiVersions`)
}

/**
 * Whether a node alone serves groups. The topic that groups are kept in is made when somebody asks for a coordinator; until
 * it is there and loaded, a member that nobody knows is not told so.
 */
export async function probeKafkaGroups(brokers: string): Promise<void> {
  await ask(brokers, FIND_COORDINATOR, 0, [text('probe')])
  const answer = await ask(brokers, HEARTBEAT, 0, [text('probe'), int32(1), text('nobody')])
  if (answer.readInt16BE(0) !== UNKNOWN_MEMBER_ID) throw new Error(`${brokers} does not serve groups yet`)
}

/**
 * Tells a node alone that a member of a group is gone, which it would find out by itself when the member's session is over.
 * With that sessions can be long, so that no member is lost on a machine that stands still for a moment.
 */
export async function leaveGroup(brokers: string, groupId: string, memberId: string): Promise<void> {
  await ask(brokers, LEAVE_GROUP, 1, [text(groupId), text(memberId)])
}

/** @returns the answer's body */
async function ask(brokers: string, apiKey: number, version: number, body: readonly Buffer[]): Promise<Buffer> {
  const url = new URL(`kafka://${brokers.split(',')[0]?.trim()}`)
  const correlationId = int32(1)
  const request = Buffer.concat([int16(apiKey), int16(version), correlationId, text('test'), ...body])
  const answer = await exchange(url, false, 9092, Buffer.concat([int32(request.length), request]), (data) =>
    data.length >= 10 && data.length >= 4 + data.readInt32BE(0) ? data.subarray(4) : undefined,
  )
  if (!answer.subarray(0, 4).equals(correlationId)) throw new Error(`${url.host} does not speak Kafka's protocol`)
  return answer.subarray(4)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([int16(bytes.length), bytes])
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
