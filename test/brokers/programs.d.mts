import type { ContainerRuntimeClient } from 'testcontainers'

export type BrokerName = 'rabbitmq' | 'kafka' | 'redis'

export declare const kafkaVersions: readonly string[]
export declare const howToGet: Readonly<Record<BrokerName, string>>
export declare const addressVariable: Readonly<Record<BrokerName, string>>

export declare function findProgram(name: string, folders?: readonly string[]): string | undefined
export declare function findRabbitmq(): { readonly server: string; readonly epmd: string } | undefined
export declare function findRedis(): string | undefined
export declare function kafkaCacheFolder(): string
export declare function findKafka():
  | { readonly java: string; readonly libraries: string; readonly version: string }
  | undefined
export declare function findDockerEngine(): Promise<ContainerRuntimeClient | undefined>
