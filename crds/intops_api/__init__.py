"""The intops API: kinds as pydantic models, conditions, FlowPlan and FlowReport. Imports nothing of ours."""
