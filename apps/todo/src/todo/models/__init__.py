"""All models; importing this fills `SQLModel.metadata`."""

from todo.models.task import Task, TaskStatus

__all__ = ["Task", "TaskStatus"]
