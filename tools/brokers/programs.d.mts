import type { ContainerRuntimeClient } from 'testcontainers'

export type BrokerName = 'rabbitmq' | 'kafka' | 'redis'

export declare const kafkaVersions: readonly string[]
export declare const howToGet: Readonly<Record<BrokerName, string>>
export declare const addressVariable: Readonly<Record<BrokerName, string>>

export declare function findProgram(name: string, folders?: readonly string[]): string | undefined
/** A program and its first arguments. */
export type Command = readonly [program: string, ...args: string[]]

export declare function findRabbitmq():
  | { readonly server: Command; readonly control: Command; readonly epmd: Command }
  | undefined
export declare function findRedis(): Command | undefined
export declare function cacheFolder(): string
export declare function findKafka():
  | { readonly java: string; readonly libraries: string; readonly version: string }
  | undefined
export declare function findDockerEngine(): Promise<ContainerRuntimeClient | undefined>
