#!/usr/bin/env node
/** Starts the simulated engine: see docs/vllm-sim.md. */
import { launch } from './launch.mjs';

await launch(import.meta.url, 'engines/simulated/program/main');
